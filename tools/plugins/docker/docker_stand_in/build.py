"""Building an image with the engine's own BuildKit, which needs no other program.

Set-up, the program and the plugin all build with this module, and the official plugin builds with
the same BuildKit: what one of them has built is in the others' cache.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from docker.errors import DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from .cancellation import Cancellation, Cancelled
from .errors import EngineError, explain
from .inputs import native_platform
from .progress import Transcript
from .session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import docker
    import requests

    from .context import BuildContext

_BUILDKIT = "2"
_CACHE_ONLY = '[{"Type":"cacheonly","Attrs":{}}]'


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build and how. ``args`` may hold secrets: they are kept out of ``repr``."""

    image_name: str
    context: BuildContext
    args: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    add_hosts: tuple[str, ...] = ()
    target: str | None = None
    platform: str | None = None
    network: str | None = None
    cache_only: bool = False
    """Leave the result in the builder's cache, without an image or a tag."""

    def parameters(self) -> dict[str, Any]:
        """Put it into the form that Docker's API takes.

        The platform is left out if it is the machine's own: BuildKit would otherwise look for a
        base image in its registry that exists here only.
        """
        foreign = self.platform if self.platform != native_platform() else None
        given = {
            "version": _BUILDKIT,
            "dockerfile": self.context.archived_dockerfile,
            "t": None if self.cache_only else self.image_name,
            "outputs": _CACHE_ONLY if self.cache_only else None,
            "buildargs": json.dumps(dict(self.args)) if self.args else None,
            "labels": json.dumps(dict(self.labels)) if self.labels else None,
            "extrahosts": list(self.add_hosts),
            "target": self.target,
            "platform": foreign,
            "networkmode": self.network,
        }
        return {name: value for name, value in given.items() if value}


def build(
    client: docker.APIClient,
    request: BuildRequest,
    report: Callable[[str], None],
    cancellation: Cancellation,
) -> str:
    """Build the image and tag it with its name; return its ID, ``sha256:…``.

    The ID is empty for a build that is ``cache_only``.

    Raises:
        EngineError: with the Dockerfile's step and the last lines of its output.
        Cancelled: the engine asked for work in flight to end.

    """
    transcript = Transcript(report)
    image_id = ""
    try:
        for message in _messages(client, request, report, cancellation):
            cancellation.check()
            if "error" in message:
                raise _failed(request, transcript, _error_text(message))
            transcript.add(message)
            if message.get("id") == "moby.image.id":
                image_id = str(message["aux"]["ID"])
    except (DockerException, RequestException, HTTPError, OSError) as exc:
        if cancellation.asked:
            raise Cancelled from exc
        raise _failed(request, transcript, explain(exc)) from exc
    cancellation.check()
    if not image_id and not request.cache_only:
        raise _failed(request, transcript, "the engine ended its answer without an image")
    return image_id


def _messages(
    client: docker.APIClient,
    request: BuildRequest,
    report: Callable[[str], None],
    cancellation: Cancellation,
) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryFile() as archive:
        report("Packing the build context")
        request.context.archive(archive)
        report(f"Sending the build context ({archive.tell() / 1e6:.1f} MB)")

        def content() -> Iterator[bytes]:
            archive.seek(0)
            return cancellation.chunks(archive)

        with session(client, content) as joined:
            answer: requests.Response = client.post(
                f"{client.base_url}/v{client.api_version}/build",
                params={**request.parameters(), **joined},
                stream=True,
            )
            cast("Any", client)._raise_for_status(answer)  # noqa: SLF001
            for line in answer.iter_lines():
                if line:
                    yield json.loads(line)


def _error_text(message: Mapping[str, Any]) -> str:
    return str(message.get("errorDetail", {}).get("message") or message["error"]).strip()


def _failed(request: BuildRequest, transcript: Transcript, reason: str) -> EngineError:
    lines = "".join(f"\n  | {line}" for line in transcript.tail)
    where = f" at step {transcript.failed_step}" if transcript.failed_step else ""
    return EngineError(
        f"building {request.image_name} from {request.context.dockerfile} failed{where}: {reason}"
        + (f"\nThe last lines of its output:{lines}" if lines else "")
        + "\nCorrect the Dockerfile or its context and run the update again; "
        "the steps before this one are cached."
    )

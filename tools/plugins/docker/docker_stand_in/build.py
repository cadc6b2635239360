"""Building an image with the engine's classic builder."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from docker.errors import DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from .cancellation import Cancellation, Cancelled
from .errors import EngineError, explain
from .inputs import native_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import docker

    from .context import BuildContext

_STEP = re.compile(r"Step (?P<number>\d+/\d+) : (?P<instruction>.*)")
_LAST_LINES = 20


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What to build and how. ``args`` may hold secrets: they are kept out of ``repr``."""

    image_name: str
    context: BuildContext
    args: Mapping[str, str] = field(repr=False)
    add_hosts: tuple[str, ...] = ()
    target: str | None = None
    platform: str | None = None
    network: str | None = None


def build(
    client: docker.APIClient,
    request: BuildRequest,
    report: Callable[[str], None],
    cancellation: Cancellation,
) -> str:
    """Build the image and tag it with its name; the answer is its id, ``sha256:…``.

    Raises:
        EngineError: with the Dockerfile's step and the last lines of output.
        Cancelled: the engine asked for work in flight to end.

    """
    transcript = Transcript(report)
    image_id: str | None = None
    try:
        for message in _messages(client, request, report, cancellation):
            cancellation.check()
            if "error" in message:
                raise _failed(request, transcript, _error_text(message))
            transcript.add(message)
            image_id = message.get("aux", {}).get("ID", image_id)
    except (DockerException, RequestException, HTTPError, OSError) as exc:
        if cancellation.asked:
            raise Cancelled from exc
        raise _failed(request, transcript, explain(exc)) from exc
    cancellation.check()
    if image_id is None:
        raise _failed(request, transcript, "the engine ended its answer without an image")
    return image_id


def _messages(
    client: docker.APIClient,
    request: BuildRequest,
    report: Callable[[str], None],
    cancellation: Cancellation,
) -> Iterator[dict[str, Any]]:
    # The platform is left out when it is the machine's own: the classic builder would otherwise
    # ask registries for a base image that exists here only.
    foreign = request.platform if request.platform != native_platform() else None
    with tempfile.TemporaryFile() as archive:
        report("Packing the build context")
        request.context.archive(archive)
        report(f"Sending the build context ({archive.tell() / 1e6:.1f} MB)")
        archive.seek(0)
        yield from client.build(  # pyright: ignore[reportUnknownMemberType]
            fileobj=cast("Any", cancellation.chunks(archive)),
            custom_context=True,
            dockerfile=request.context.archived_dockerfile,
            tag=request.image_name,
            buildargs=dict(request.args),
            target=request.target,
            platform=foreign,
            network_mode=request.network,
            extra_hosts=dict(_host_and_address(entry) for entry in request.add_hosts),
            rm=True,
            forcerm=True,
            decode=True,
        )


def _host_and_address(entry: str) -> tuple[str, str]:
    host, _, address = entry.partition(":")
    return host, address


def _error_text(message: Mapping[str, Any]) -> str:
    return str(message.get("errorDetail", {}).get("message") or message["error"]).strip()


def _failed(request: BuildRequest, transcript: Transcript, said: str) -> EngineError:
    lines = "".join(f"\n  | {line}" for line in transcript.tail)
    where = f" at step {transcript.step}" if transcript.step else " before its first step"
    return EngineError(
        f"building {request.image_name} from {request.context.dockerfile} failed{where}: {said}"
        + (f"\nThe last lines of its output:{lines}" if lines else "")
        + "\nCorrect the Dockerfile or its context and run the update again; "
        "the steps before this one are cached."
    )


class Transcript:
    """The build's output as whole lines, each reported with the step that wrote it.

    Lines are put together first: a secret that came in two pieces could not be recognised.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        """Begin before the first step."""
        self._report = report
        self._number = ""
        self._rest = ""
        self.step = ""
        self.tail: deque[str] = deque(maxlen=_LAST_LINES)

    def add(self, message: Mapping[str, Any]) -> None:
        """Take one message of the engine."""
        if "stream" in message:
            *lines, self._rest = re.split(r"[\r\n]", self._rest + str(message["stream"]))
            for line in lines:
                self._line(line.rstrip())
        elif "status" in message and "progressDetail" not in message:
            self._line(f"{message.get('id', '')} {message['status']}".strip())

    def _line(self, line: str) -> None:
        if not line:
            return
        step = _STEP.match(line)
        if step:
            self._number = step["number"]
            self.step = f"{step['number']}: {step['instruction']}"
            self.tail.clear()
            self._report(f"Step {self.step}")
        elif line == " ---> Using cache":
            self._report(f"Step {self.step} (cached)")
        elif not line.startswith((" --->", "Removing intermediate container")):
            self.tail.append(line)
            self._report(f"[{self._number}] {line}" if self._number else line)

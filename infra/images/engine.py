"""The operator's Docker engine: the connection to it, and its images. Independent of Pulumi."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError, ReadTimeout  # noqa: A004 - not Python's own
from urllib3.exceptions import ReadTimeoutError

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable

SILENCE_SECONDS = 600
"""Read timeout of a call to the engine. A busy machine sends parts of an image more than a minute
apart, and the library's default is a minute."""


class EngineError(UserError):
    """The engine does not answer or rejected a request; the message has the next step."""


class ImageError(UserError):
    """An image does not exist or could not be pushed; the message has the next step."""


Engine = Any
"""A ``docker.DockerClient``, whose published types are too incomplete for a strict check."""


@contextlib.contextmanager
def engine() -> Generator[Engine]:
    """Connect to the engine that the docker command uses (``DOCKER_HOST``, or a context's).

    Raises:
        EngineError: if it does not answer, or answers with an error.

    """
    try:
        client = docker.from_env(timeout=SILENCE_SECONDS)
        client.ping()
    except DockerException as error:
        msg = (
            f"Docker does not answer on this machine: {error}.\n"
            "Start it (with `make setup` or `systemctl start docker`), then rerun the command."
        )
        raise EngineError(msg) from error
    try:
        yield client
    except APIError as error:
        msg = f"Docker on this machine rejected the request: {error.explanation or error}"
        raise EngineError(msg) from error
    except (
        ReadTimeout,
        ConnectionError,
        ReadTimeoutError,
    ) as error:  # the last one in the middle of an answer
        msg = (
            f"Docker on this machine did not answer within {client.api.timeout:g} s: {error}.\n"
            "If `docker info` works, rerun the command: completed steps are kept."
        )
        raise EngineError(msg) from error
    finally:
        client.close()


def archive(image: str) -> bytes:
    """Return an image in the format of ``docker save``, under the given name.

    Raises:
        ImageError: if the image does not exist.

    """
    with engine() as client:
        try:
            return b"".join(client.api.get_image(image))
        except NotFound:
            raise ImageError(_missing_image(image)) from None


def push(image: str, *, user: str, password: str) -> str:
    """Push ``registry/repository:tag`` and return its digest, ``sha256:…``.

    Raises:
        ImageError: if the image does not exist, or the registry rejects it or does not answer.

    """
    from tools.plugins.docker.docker_stand_in.push import reported_digest  # noqa: PLC0415

    with engine() as client:
        _check_built(client, image)
        lines: Iterable[dict[str, Any]] = client.images.push(
            image, stream=True, decode=True, auth_config={"username": user, "password": password}
        )
        digest = ""
        for line in lines:
            if "error" in line:
                msg = (
                    f"{image} could not be pushed: {line['error']}\n"
                    "Next: fix the cause, then rerun the command; layers that have arrived are not"
                    " sent again"
                )
                raise ImageError(msg)
            digest = reported_digest(line) or digest
        return digest


def untag(image: str) -> None:
    """Remove an image's tag if it exists."""
    with engine() as client, contextlib.suppress(NotFound):
        client.images.remove(image)


def remove_names(repository: str, *, keep: Collection[str] = ()) -> None:
    """Remove each name ``repository:…`` except those in ``keep``.

    A name that a container was created from stays, because it is in use.
    """
    with engine() as client:
        names = {tag for image in client.images.list(repository) for tag in image.tags}
        for name in sorted(names - set(keep)):
            if name.rpartition(":")[0] == repository:
                with contextlib.suppress(APIError):
                    client.images.remove(name)


def check_image(client: Engine, image: str) -> None:
    """Check that set-up has built an image.

    Raises:
        ImageError: if it does not exist.

    """
    try:
        client.images.get(image)
    except NotFound:
        raise ImageError(_missing_image(image)) from None


def _check_built(client: Engine, image: str) -> None:
    try:
        client.images.get(image)
    except NotFound:
        msg = (
            f"this machine's Docker does not have the image {image}; it was built on another"
            " machine, or removed.\n"
            "Next: rebuild it here: `pulumi stack --show-urns` lists it as"
            " docker:index/image:Image; then run `pulumi up --replace` with that URN"
        )
        raise ImageError(msg) from None


def _missing_image(image: str) -> str:
    return (
        f"this machine's Docker does not have the image {image}: run `make setup`, then rerun the"
        " command"
    )

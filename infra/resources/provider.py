"""Base of the project's dynamic providers.

A provider is stateless (its instance is pickled into the state), compares only named inputs, keeps
its inputs among its outputs, and reports errors without a traceback.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pulumi.dynamic import ConfigureRequest, DiffResult, ReadResult, ResourceProvider

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

Props = dict[str, Any]
Method = TypeVar("Method", bound="Callable[..., Any]")

GONE = ReadResult("", {})
"""Result of ``read`` for an object that does not exist any more."""

OWNER = "owner"
"""The output that identifies a resource on the objects that it owns (ADR 24)."""

_ENGINE_POLL_SECONDS = 1.0
_SHELLS = frozenset({"sh", "dash", "bash"})


class ResourceError(Exception):
    """Error of a failed operation that Pulumi shows as one message, without a traceback."""


class _NoTraceback(logging.Filter):
    """Drop gRPC's own log of a ``ResourceError``: the engine prints the message itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], ResourceError))


logging.getLogger("grpc._server").addFilter(_NoTraceback())


def explained(method: Method) -> Method:
    """Convert a ``UserError`` to a ``ResourceError``; other errors keep their traceback."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return method(*args, **kwargs)
        except UserError as error:
            message = f"\n{error}"
            raise ResourceError(message) from None

    return wrapper  # type: ignore[return-value]


class Provider(ResourceProvider):
    """A dynamic provider that diffs by named inputs. Subclasses have no attributes."""

    serialize_as_secret_always = False
    compared: ClassVar[tuple[str, ...]] = ()
    """Inputs whose change is an update."""
    replaced_by: ClassVar[tuple[str, ...]] = ()
    """Inputs whose change is a replacement (the old one is deleted first)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - Python's own signature
        super().__init_subclass__(**kwargs)
        for name in ("create", "read", "update", "delete"):
            if name in vars(cls):
                setattr(cls, name, explained(vars(cls)[name]))

    def configure(self, req: ConfigureRequest) -> None:  # noqa: ARG002 - Pulumi's signature
        """Pulumi calls this once a process, before the first operation."""
        _end_with_engine()

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Pulumi calls this in previews too, in which an unknown value counts as changed."""
        replaces = [key for key in self.replaced_by if olds.get(key) != news.get(key)]
        changed = [key for key in self.compared if olds.get(key) != news.get(key)]
        return DiffResult(
            changes=bool(replaces or changed), replaces=replaces, delete_before_replace=True
        )


def owning(props: Props, olds: Props | None = None) -> Props:
    """Return inputs with the resource's identity: the existing one, or a new one."""
    return {**props, OWNER: (olds or {}).get(OWNER) or uuid.uuid4().hex}


def is_adopted(props: Props, owner: str) -> bool:
    """Return whether an object whose recorded owner is ``owner`` belongs to another resource.

    An object without an identity is from an earlier release, and belongs to the resource with its
    name.
    """
    return bool(owner) and owner != props.get(OWNER)


def say(message: str) -> None:
    """Print a line of progress, which Pulumi shows with the stack's output.

    Flushed, since Pulumi reads a pipe.
    """
    print(message, flush=True)  # noqa: T201 - this is how a dynamic provider logs


@functools.cache
def _end_with_engine() -> None:
    """End this process if Pulumi was killed, so that no orphan process changes machines.

    After ``kill -9`` the engine cannot notify a plugin. It starts Python by a shell script, which
    waits for Python and so survives; the first ancestor that is not a shell is the engine.
    """
    threading.Thread(target=_watch_engine, daemon=True, name="end-with-engine").start()


def _watch_engine() -> None:
    import psutil

    engine = psutil.Process().parent()
    while engine is not None and Path(engine.exe()).name in _SHELLS:
        engine = engine.parent()
    if engine is None:
        return
    while _lives(engine):
        time.sleep(_ENGINE_POLL_SECONDS)
    os._exit(1)


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

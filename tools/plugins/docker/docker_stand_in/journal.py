"""Lines for the user, through the engine's own log, with every secret taken out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "[secret]"
_SHORTEST_LINE = 4


class Journal:
    """The engine's log. Without an engine (a test, a debugger) lines go nowhere."""

    def __init__(self) -> None:
        """Begin without an engine."""
        self._engine: engine_pb2_grpc.EngineStub | None = None

    def attach(self, channel: grpc.Channel) -> None:
        """Write to the engine at the other end of the channel."""
        self._engine = engine_pb2_grpc.EngineStub(channel)

    def of(self, urn: str, secrets: Iterable[str]) -> Report:
        """Begin the lines of one resource, none of which shows one of the secrets."""
        return Report(self, urn, secrets)

    def write(self, urn: str, severity: int, message: str, *, ephemeral: bool) -> None:
        """Write one line. An engine that does not take it does not stop the work."""
        if self._engine is None:
            return
        request = engine_pb2.LogRequest(
            severity=severity,  # pyright: ignore[reportArgumentType]
            message=message,
            urn=urn,
            ephemeral=ephemeral,
        )
        with contextlib.suppress(grpc.RpcError):
            self._engine.Log(request)  # pyright: ignore[reportUnknownMemberType]


class Report:
    """One resource's lines."""

    def __init__(self, journal: Journal, urn: str, secrets: Iterable[str]) -> None:
        """See Journal.of."""
        self._journal = journal
        self._urn = urn
        self._secrets = sorted(_pieces(secrets), key=len, reverse=True)

    def mask(self, text: str) -> str:
        """Take the secrets out of a text."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def status(self, message: str) -> None:
        """Say what is going on now; the next line takes its place."""
        self._journal.write(self._urn, engine_pb2.INFO, self.mask(message), ephemeral=True)

    def warn(self, message: str) -> None:
        """Say what the user should know afterwards."""
        self._journal.write(self._urn, engine_pb2.WARNING, self.mask(message), ephemeral=False)


def _pieces(secrets: Iterable[str]) -> set[str]:
    """Each secret, and each line of one that has several (a key): output comes by the line."""
    pieces: set[str] = set()
    for secret in secrets:
        pieces.add(secret)
        lines = [line.strip() for line in secret.splitlines()]
        pieces.update(line for line in lines if len(line) >= _SHORTEST_LINE)
    return pieces - {""}

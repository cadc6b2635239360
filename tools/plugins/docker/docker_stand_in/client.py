"""A client of the plugin, in the engine's place: for tests, and for trying the plugin by hand."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as messages

from .refusals import IMAGE_TYPE
from .values import UNKNOWN, Properties, Secret, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from .values import Value

__all__ = ["UNKNOWN", "EngineLog", "PluginProcess", "Secret", "urn_of"]

EXECUTABLE = Path(__file__).parent.parent / "pulumi-resource-docker"

_START_SECONDS = 60
_CALL_SECONDS = 300


def urn_of(kind: str = IMAGE_TYPE) -> str:
    """Name a resource of a type."""
    return f"urn:pulumi:dev::project::{kind}::it"


class EngineLog(engine_pb2_grpc.EngineServicer):
    """The part of an engine that a plugin talks to: it keeps the lines it is given."""

    def __init__(self) -> None:
        """Listen on a free loopback port."""
        self.lines: list[tuple[int, str, bool]] = []
        """Severity, text, whether it is only a status."""
        self._server = grpc.server(ThreadPoolExecutor(4))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @property
    def text(self) -> str:
        """All lines together."""
        return "\n".join(message for _, message, _ in self.lines)

    def Log(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, ARG002, N802
        """Keep a line."""
        self.lines.append((request.severity, request.message, request.ephemeral))
        return empty_pb2.Empty()

    def stop(self) -> None:
        """Go away, as a killed engine does."""
        self._server.stop(grace=None).wait()


class PluginProcess:
    """A running plugin. Each method is one call of the protocol, with plain properties."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start the plugin in the program's directory."""
        self.engine = EngineLog()
        self.process = subprocess.Popen(
            [sys.executable, str(EXECUTABLE), self.engine.address],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None  # noqa: S101 - a pipe was asked for
        port = self.process.stdout.readline().strip()
        if not port:
            _, output = self.process.communicate(timeout=_START_SECONDS)
            message = f"the plugin ended before it gave its port: {output}"
            raise RuntimeError(message)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, as the engine does."""
        self._channel.close()
        self.process.terminate()
        self.process.communicate(timeout=_START_SECONDS)
        self.engine.stop()

    def configure(self, **settings: Value) -> Any:  # noqa: ANN401
        """Give the provider's settings."""
        request = messages.ConfigureRequest(args=encode(settings), acceptSecrets=True)
        return self.stub.Configure(request, timeout=_CALL_SECONDS)

    def check(
        self, news: Properties, urn: str | None = None
    ) -> tuple[dict[str, Value], dict[str, str]]:
        """Check inputs; the answer is them with defaults, and each mistake by property."""
        request = messages.CheckRequest(urn=urn or urn_of(), news=encode(news))
        answer = self.stub.Check(request, timeout=_CALL_SECONDS)
        failures = {failure.property: failure.reason for failure in answer.failures}
        return decode(answer.inputs), failures

    def diff(self, olds: Properties, news: Properties, old_inputs: Properties) -> dict[str, int]:
        """Compare; the answer is the kind of each change by property path."""
        request = messages.DiffRequest(
            id="it",
            urn=urn_of(),
            olds=encode(olds),
            news=encode(news),
            old_inputs=encode(old_inputs),
        )
        answer = self.stub.Diff(request, timeout=_CALL_SECONDS)
        expected = messages.DiffResponse.DIFF_SOME if answer.detailedDiff else 1
        if answer.changes != expected or answer.replaces:
            message = f"the answer contradicts itself: {answer}"
            raise AssertionError(message)
        return {path: change.kind for path, change in answer.detailedDiff.items()}

    def create(self, inputs: Properties, *, preview: bool = False) -> tuple[str, dict[str, Value]]:
        """Create; the answer is the id and the outputs."""
        request = messages.CreateRequest(
            urn=urn_of(), properties=encode(inputs), preview=preview, timeout=0
        )
        answer = self.stub.Create(request, timeout=_CALL_SECONDS)
        return answer.id, decode(answer.properties)

    def update(
        self, olds: Properties, news: Properties, *, preview: bool = False
    ) -> dict[str, Value]:
        """Update; the answer is the outputs."""
        request = messages.UpdateRequest(
            id="it", urn=urn_of(), olds=encode(olds), news=encode(news), preview=preview
        )
        return decode(self.stub.Update(request, timeout=_CALL_SECONDS).properties)

    def read(self, state: Properties, inputs: Properties) -> tuple[Properties, Properties]:
        """Read; the answer is the state and the inputs."""
        request = messages.ReadRequest(
            id="it", urn=urn_of(), properties=encode(state), inputs=encode(inputs)
        )
        answer = self.stub.Read(request, timeout=_CALL_SECONDS)
        return decode(answer.properties), decode(answer.inputs)

    def delete(self, state: Properties) -> None:
        """Delete."""
        request = messages.DeleteRequest(id="it", urn=urn_of(), properties=encode(state))
        self.stub.Delete(request, timeout=_CALL_SECONDS)

    def check_config(self, settings: Properties) -> dict[str, str]:
        """Check the provider's settings; the answer is each refusal by name."""
        request = messages.CheckRequest(urn=urn_of(), news=encode(settings))
        answer = self.stub.CheckConfig(request, timeout=_CALL_SECONDS)
        return {failure.property: failure.reason for failure in answer.failures}

    def call_refused(self, method: str, request: Any) -> str:  # noqa: ANN401
        """Make a call that must be refused; the answer is the refusal."""
        try:
            getattr(self.stub, method)(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as exc:
            return str(exc.details())  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
        message = f"{method} was not refused"
        raise AssertionError(message)

    def lines(self, *, severities: Sequence[int]) -> list[str]:
        """Pick the engine's lines of these severities."""
        return [text for severity, text, _ in self.engine.lines if severity in severities]

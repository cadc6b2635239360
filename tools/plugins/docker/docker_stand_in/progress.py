"""What BuildKit reports of a build: its steps, their output, and which one failed."""

from __future__ import annotations

import base64
import re
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRACE = "moby.buildkit.trace"
_LAST_LINES = 20
_FIELDS = descriptor_pb2.FieldDescriptorProto
_STEP = re.compile(r"\[(?P<place>[^\]]*\d+/\d+)\] (?P<instruction>.*)", re.DOTALL)
"""A Dockerfile's step, such as ``[airflow 2/5] RUN …``; BuildKit's own work has no number."""


@cache
def _status_class() -> Any:  # noqa: ANN401 - a class that protobuf makes
    """Make the message class from the fields used here (moby/buildkit, ``control.proto``)."""
    file = descriptor_pb2.FileDescriptorProto(
        name="dairflow/buildkit.proto", package="dairflow.buildkit", syntax="proto3"
    )

    def message(name: str, *fields: tuple[str, int, Any, str | None]) -> None:
        made = file.message_type.add(name=name)
        for field_name, number, kind, of in fields:
            label = _FIELDS.LABEL_REPEATED if of else _FIELDS.LABEL_OPTIONAL
            made.field.add(name=field_name, number=number, type=kind, label=label, type_name=of)

    message(
        "Vertex",
        ("digest", 1, _FIELDS.TYPE_STRING, None),
        ("name", 3, _FIELDS.TYPE_STRING, None),
        ("cached", 4, _FIELDS.TYPE_BOOL, None),
        ("started", 5, _FIELDS.TYPE_BYTES, None),
        ("error", 7, _FIELDS.TYPE_STRING, None),
    )
    message(
        "Log",
        ("vertex", 1, _FIELDS.TYPE_STRING, None),
        ("msg", 4, _FIELDS.TYPE_BYTES, None),
    )
    message(
        "Status",
        ("vertexes", 1, _FIELDS.TYPE_MESSAGE, ".dairflow.buildkit.Vertex"),
        ("logs", 3, _FIELDS.TYPE_MESSAGE, ".dairflow.buildkit.Log"),
    )
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: Any = pool.FindMessageTypeByName("dairflow.buildkit.Status")
    return message_factory.GetMessageClass(found)


@dataclass(kw_only=True)
class _Step:
    """A step of the Dockerfile, and the last lines of its output."""

    place: str
    instruction: str
    reported: str = ""
    rest: str = ""
    tail: deque[str] = field(default_factory=lambda: deque[str](maxlen=_LAST_LINES))


class Transcript:
    """The build's output as whole lines, each reported with the step that wrote it.

    Lines are put together first: a secret that came in two pieces could not be recognized. Steps
    of several stages run side by side, so each keeps its own lines.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        """Begin before the first step."""
        self._report = report
        self._steps: dict[str, _Step] = {}
        self._failed: _Step | None = None

    @property
    def failed_step(self) -> str:
        """The step that failed, ``[2/3] RUN …``; empty if none did."""
        return "" if self._failed is None else _title(self._failed)

    @property
    def tail(self) -> list[str]:
        """The last lines of the step that failed."""
        return [] if self._failed is None else list(self._failed.tail)

    def add(self, message: Mapping[str, Any]) -> None:
        """Take one message of the engine."""
        if message.get("id") != _TRACE:
            return
        status = _status_class().FromString(base64.b64decode(message["aux"]))
        for vertex in status.vertexes:
            self._vertex(vertex)
        for log in status.logs:
            self._log(log)

    def _vertex(self, vertex: Any) -> None:  # noqa: ANN401 - protobuf's
        match = _STEP.match(vertex.name)
        if match is None:
            return
        step = self._steps.setdefault(
            vertex.digest, _Step(place=match["place"], instruction=match["instruction"])
        )
        # Of a step that another one's failure ended, the error is the cancellation.
        if vertex.error and "context canceled" not in vertex.error:
            self._failed = step
        state = "cached" if vertex.cached else "run" if vertex.started else ""
        if state and state != step.reported:
            step.reported = state
            self._report(f"{_title(step)}{' (cached)' if vertex.cached else ''}")

    def _log(self, log: Any) -> None:  # noqa: ANN401 - protobuf's
        step = self._steps.get(log.vertex)
        if step is None:
            return
        text = step.rest + log.msg.decode(errors="replace")
        *lines, step.rest = re.split(r"[\r\n]", text)
        for line in (line.rstrip() for line in lines):
            if line:
                step.tail.append(line)
                self._report(f"[{step.place}] {line}")


def _title(step: _Step) -> str:
    return f"[{step.place}] {step.instruction}"

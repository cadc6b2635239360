"""Property values as they travel between the engine and a plugin: secrets, unknowns, plain data.

The tagged forms are those of Pulumi's own wire format (``pulumi.runtime.rpc``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

_TAG: Final = rpc._special_sig_key  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
_SECRET: Final = rpc._special_secret_sig  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
_OUTPUT: Final = rpc._special_output_value_sig  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class Unknown(Enum):
    """The type of the one value that means "known only after the update"."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True)
class Secret:
    """A value that must not be shown; its text stays out of every ``repr``."""

    element: Value

    def __repr__(self) -> str:
        return "Secret(…)"


Value: TypeAlias = (
    "bool | float | str | Unknown | Secret | Sequence[Value] | Mapping[str, Value] | None"
)
Properties: TypeAlias = Mapping[str, Value]


def decode(struct: struct_pb2.Struct) -> dict[str, Value]:
    """Read a property bag off the wire. Nulls are left out, as the official plugin does."""
    return cast("dict[str, Value]", _decode(json_format.MessageToDict(struct)))


def _decode(wire: object) -> Value:
    if isinstance(wire, list):
        return [_decode(item) for item in cast("list[Any]", wire)]
    if isinstance(wire, dict):
        return _decode_object(cast("dict[str, Any]", wire))
    return UNKNOWN if wire == rpc.UNKNOWN else cast("Value", wire)


def _decode_object(wire: dict[str, Any]) -> Value:
    tag = wire.get(_TAG)
    if tag == _SECRET:
        return Secret(_decode(wire.get("value")))
    if tag == _OUTPUT:
        element = _decode(wire["value"]) if "value" in wire else UNKNOWN
        return Secret(element) if wire.get("secret") else element
    return {key: _decode(item) for key, item in wire.items() if item is not None}


def encode(properties: Properties) -> struct_pb2.Struct:
    """Write a property bag for the wire."""
    struct = struct_pb2.Struct()
    struct.update({key: _encode(value) for key, value in properties.items()})
    return struct


def _encode(value: Value) -> Any:  # noqa: ANN401 - json's types
    if isinstance(value, Secret):
        return {_TAG: _SECRET, "value": _encode(value.element)}
    if value is UNKNOWN:
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_encode(item) for item in value]
    return value


def plain(value: Value) -> Value:
    """Open every secret in the value."""
    if isinstance(value, Secret):
        return plain(value.element)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def has_unknown(value: Value) -> bool:
    """Tell whether any part of the value is known only after the update."""
    if isinstance(value, Secret):
        return has_unknown(value.element)
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN


def is_secret_at(value: Value, *path: str) -> bool:
    """Tell whether the value at a path is secret: itself, something in it, or what it lies in."""
    for key in path:
        if isinstance(value, Secret):
            return True
        if not isinstance(value, Mapping):
            return False
        value = value.get(key)
    return any(True for _ in _secrets(value))


def secret_texts(value: Value) -> frozenset[str]:
    """Collect every non-empty text inside a secret, for taking them out of logs and errors."""
    return frozenset(text for secret in _secrets(value) for text in _texts(secret.element) if text)


def _secrets(value: Value) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _secrets(item)


def _texts(value: Value) -> Iterator[str]:
    opened = plain(value)
    if isinstance(opened, str):
        yield opened
    elif isinstance(opened, Mapping):
        for item in opened.values():
            yield from _texts(item)
    elif isinstance(opened, Sequence):
        for item in opened:
            yield from _texts(item)

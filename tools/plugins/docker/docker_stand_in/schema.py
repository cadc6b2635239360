"""What ``docker.Image`` and ``docker.Provider`` accept, read from the installed ``pulumi_docker``.

Nothing here is a copied list: names, types and which of them are required come from the package
that the program itself uses, so that the two cannot drift apart.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from pulumi import _types as pulumi_types  # pyright: ignore[reportPrivateUsage]

from . import lean_import

PACKAGE = "pulumi_docker"


@dataclass(frozen=True, kw_only=True)
class Property:
    """One input property: its name on the wire, whether it must be given, and its type."""

    name: str
    required: bool
    type: type | None
    """``str`` or ``bool`` for a scalar, ``list`` or ``dict`` (of texts), None for an object."""
    fields: Mapping[str, Property]
    """An object's own properties."""
    choices: tuple[str, ...] = ()
    """The values of an enumeration."""


@cache
def version() -> str:
    """Look up the installed ``pulumi_docker``'s version, which the plugin answers as its own."""
    return importlib.metadata.version(PACKAGE.replace("_", "-"))


@cache
def image_inputs() -> Mapping[str, Property]:
    """Look up the inputs of ``docker.Image`` by wire name."""
    return _properties(_module("image").ImageArgs)


@cache
def image_outputs() -> frozenset[str]:
    """Look up the outputs of ``docker.Image`` by wire name."""
    return frozenset(pulumi_types.resource_pulumi_to_py_names(_module("image").Image))


@cache
def provider_inputs() -> Mapping[str, Property]:
    """Look up the configuration of ``docker.Provider`` by wire name."""
    return _properties(_module("provider").ProviderArgs)


def _module(name: str) -> Any:  # noqa: ANN401 - a module of classes
    """Import one module of the package; Pulumi looks its classes' types up among the modules."""
    return lean_import.module(f"{PACKAGE}.{name}", forget=False)


def _properties(args: type) -> Mapping[str, Property]:
    names = pulumi_types.input_type_py_to_pulumi_names(args)
    kinds = pulumi_types.input_type_types(args)
    parameters = inspect.signature(args).parameters
    return {
        wire: _property(
            wire,
            kinds[wire],
            required=parameters[python].default is inspect.Parameter.empty,
        )
        for python, wire in names.items()
    }


def _property(name: str, annotation: object, *, required: bool) -> Property:
    kind = pulumi_types.unwrap_type(typing.cast("type", annotation))
    if pulumi_types.is_input_type(kind):
        return Property(name=name, required=required, type=None, fields=_properties(kind))
    if inspect.isclass(kind) and issubclass(kind, Enum):
        choices = tuple(str(member.value) for member in kind)
        return Property(name=name, required=required, type=str, fields={}, choices=choices)
    origin = typing.get_origin(kind)
    if origin is not None and issubclass(origin, Mapping):
        return Property(name=name, required=required, type=dict, fields={})
    if origin is not None and issubclass(origin, Sequence):
        return Property(name=name, required=required, type=list, fields={})
    return Property(name=name, required=required, type=typing.cast("type", kind), fields={})

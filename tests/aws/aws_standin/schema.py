"""The properties of a type, read from the installed ``pulumi_aws``; nothing is copied."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pulumi
import pulumi_aws
from docker_stand_in.values import UNKNOWN, plain
from pulumi import _types as pulumi_types
from pulumi_aws import ec2, ecr, iam, vpc

_MODULES = {"ec2": ec2, "ecr": ecr, "iam": iam, "vpc": vpc}


def version() -> str:
    """Return the installed ``pulumi_aws``'s version, which is the plugin's."""
    from importlib.metadata import version as installed

    return installed("pulumi-aws")


@cache
def outputs(token: str) -> frozenset[str]:
    """Return the names of a type's outputs on the wire."""
    return frozenset(pulumi_types.resource_pulumi_to_py_names(_class(token)))


def provider_settings() -> frozenset[str]:
    """Return the names of the provider's settings on the wire."""
    return frozenset(pulumi_types.input_type_py_to_pulumi_names(pulumi_aws.ProviderArgs).values())


def problems(token: str, given: Mapping[str, Any], served: frozenset[str]) -> dict[str, str]:
    """Return what is wrong with a resource's inputs: property → reason."""
    args = getattr(_MODULES[_module(token)], f"{_class(token).__name__}Args")
    found = dict(_problems(args, given, ""))
    for name in given:
        if name not in served and name not in found:
            found[name] = f"{token}.{name} is not served by this stand-in of the aws plugin"
    return found


def _problems(
    args: type, given: Mapping[str, Any], prefix: str
) -> typing.Iterator[tuple[str, str]]:
    names = pulumi_types.input_type_py_to_pulumi_names(args)
    kinds = pulumi_types.input_type_types(args)
    parameters = inspect.signature(args).parameters
    for python, wire in names.items():
        if parameters[python].default is inspect.Parameter.empty and wire not in given:
            yield prefix + wire, "it is required, and was not given"
    for name, value in given.items():
        if name.startswith("__"):
            continue
        if name not in kinds:
            yield prefix + name, "the package pulumi_aws has no such property"
        else:
            yield from _misfit(kinds[name], plain(value), prefix + name)


def _misfit(annotation: Any, value: Any, where: str) -> typing.Iterator[tuple[str, str]]:
    kind = pulumi_types.unwrap_type(annotation)
    if value is UNKNOWN:
        return
    if pulumi_types.is_input_type(kind):
        yield from _problems(kind, value, f"{where}.")
        return
    origin = typing.get_origin(kind) or kind
    if inspect.isclass(origin) and issubclass(origin, str):
        fits = isinstance(value, str)
    elif origin is bool:
        fits = isinstance(value, bool)
    elif origin in (int, float):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif inspect.isclass(origin) and issubclass(origin, Mapping):
        fits = isinstance(value, Mapping)
    elif inspect.isclass(origin) and issubclass(origin, Sequence):
        fits = isinstance(value, list)
    else:
        fits = True
    if not fits:
        yield where, f"{value!r} is not of type {getattr(origin, '__name__', origin)}"


def _module(token: str) -> str:
    return token.split(":")[1].split("/", maxsplit=1)[0]


@cache
def _class(token: str) -> type[pulumi.CustomResource]:
    return getattr(_MODULES[_module(token)], token.rpartition(":")[2])

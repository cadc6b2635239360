"""A ``docker.Image``'s inputs: checked against the package's own schema, defaults filled in."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from . import lean_import
from .context import DOCKERFILE, BuildContext
from .refusals import not_served
from .schema import Property, image_inputs
from .values import Properties, Secret, Unknown, Value, has_unknown, plain

_match_tag = lean_import.module("docker.utils.build", forget=True).match_tag

CONTEXT_DIGEST = "contextDigest"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_UNSERVED_BUILDER = "BuilderV1"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One thing wrong with the inputs: the property's path, and what to do about it."""

    property: str
    reason: str


def check(news: Properties) -> tuple[dict[str, Value], list[Failure]]:
    """Add defaults, the context's digest and a secret password; and find all mistakes.

    With mistakes, the inputs are as they came.
    """
    failures = list(_misfits(image_inputs(), news, ()))
    if failures:
        return dict(news), failures
    failures = [*_refusals(news), *_name_failures(news)]
    inputs = dict(news)
    if not isinstance(plain(news.get("build")), Unknown):
        build, build_failures = _complete_build(_fields(news.get("build")))
        failures += build_failures
        inputs["build"] = _rewrap(news.get("build"), build)
    if failures:
        return dict(news), failures
    inputs.setdefault("buildOnPreview", False)
    if isinstance(plain(inputs.get("registry")), Mapping):
        inputs["registry"] = _rewrap(inputs["registry"], _guarded(_fields(inputs["registry"])))
    return inputs, []


def _misfits(
    schema: Mapping[str, Property], given: Properties, path: tuple[str, ...]
) -> Iterator[Failure]:
    """Names that the package does not know, names missing, values of another type."""
    for name in given.keys() - schema.keys():
        known = ", ".join(sorted(schema))
        yield Failure(property=_join(*path, name), reason=f"no such property; there are: {known}")
    for name, wanted in schema.items():
        if name not in given:
            if wanted.required:
                yield Failure(property=_join(*path, name), reason="required, and not given")
            continue
        value = given[name]
        opened = value.element if isinstance(value, Secret) else value
        if isinstance(opened, Unknown):
            continue
        if wanted.type is None and isinstance(opened, Mapping):
            yield from _misfits(wanted.fields, opened, (*path, name))
        elif not _fits(opened, wanted):
            reason = f"must be {_described(wanted)}"
            yield Failure(property=_join(*path, name), reason=reason)


def _fits(value: Value, wanted: Property) -> bool:
    opened = plain(value)
    if wanted.type is str:
        known = isinstance(opened, str)
        return known and (not wanted.choices or opened in wanted.choices)
    if wanted.type is bool:
        return isinstance(opened, bool)
    if wanted.type is dict:
        return isinstance(opened, Mapping) and all(_is_text(item) for item in opened.values())
    if wanted.type is list:
        return (
            isinstance(opened, Sequence)
            and not isinstance(opened, str)
            and all(_is_text(item) for item in opened)
        )
    return False


def _is_text(value: Value) -> bool:
    return isinstance(value, (str, Unknown))


def _described(wanted: Property) -> str:
    if wanted.choices:
        return "one of " + ", ".join(wanted.choices)
    names = {str: "a text", bool: "true or false", dict: "a map of texts", list: "a list of texts"}
    if wanted.type in names:
        return names[wanted.type]
    return "an object of " + ", ".join(sorted(wanted.fields))


def _refusals(news: Properties) -> Iterator[Failure]:
    """Refuse what the official plugin serves and this one does not."""
    build = _fields(news.get("build"))
    if "cacheFrom" in build:
        reason = not_served("build.cacheFrom", instead="The engine's own layer cache is used.")
        yield Failure(property="build.cacheFrom", reason=reason)
    if plain(build.get("builderVersion")) == _UNSERVED_BUILDER:
        reason = not_served(
            f"build.builderVersion {_UNSERVED_BUILDER}",
            instead="Leave it out, or give BuilderBuildKit.",
        )
        yield Failure(property="build.builderVersion", reason=reason)


def _name_failures(news: Properties) -> Iterator[Failure]:
    name = plain(news["imageName"])
    if not isinstance(name, str):
        return
    if not _match_tag(name):
        yield Failure(
            property="imageName",
            reason="not a valid image name; the form is registry/repository:tag, in lower case",
        )
    elif plain(news.get("skipPush")) is not True and registry_of(name) is None:
        yield Failure(
            property="imageName",
            reason="names no registry, so it cannot be pushed; write it out, e.g. "
            "127.0.0.1:5000/repository:tag or docker.io/user/repository:tag, or set skipPush",
        )


def registry_of(image_name: str) -> str | None:
    """Find the registry's ``host[:port]`` in an image name, or None when it names none.

    The rule is Docker's: the first part is a host if it holds a dot or a colon, or is localhost.
    """
    host, slash, _ = image_name.partition("/")
    named = slash and ("." in host or ":" in host or host == "localhost")
    return host if named else None


def _complete_build(given: Properties) -> tuple[dict[str, Value], list[Failure]]:
    build = dict(given)
    build.setdefault("context", ".")
    build.setdefault("platform", native_platform())
    if has_unknown(build["context"]) or has_unknown(build.get("dockerfile")):
        return build, []
    root = Path(str(plain(build["context"])))
    build.setdefault("dockerfile", (root / DOCKERFILE).as_posix())
    context = BuildContext(root=root, dockerfile=Path(str(plain(build["dockerfile"]))))
    missing = _missing_file(context)
    if missing is not None:
        return build, [missing]
    try:
        build[CONTEXT_DIGEST] = context.digest()
    except OSError as exc:
        reason = f"cannot read {exc.filename}: {exc.strerror}"
        return build, [Failure(property="build.context", reason=reason)]
    return build, []


def _missing_file(context: BuildContext) -> Failure | None:
    if not context.root.is_dir():
        reason = f"no directory {str(context.root)!r} in {str(Path.cwd())!r}"
        return Failure(property="build.context", reason=reason)
    if context.dockerfile.is_file():
        return None
    reason = f"no file {str(context.dockerfile)!r} in {str(Path.cwd())!r}"
    inside = context.root / context.dockerfile
    if inside.is_file():
        reason += f"; the path is relative to the program, not to the context: {str(inside)!r}"
    return Failure(property="build.dockerfile", reason=reason)


def native_platform() -> str:
    """Name the platform that images are built for unless one is given, e.g. ``linux/amd64``."""
    machine = platform.machine().lower()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def _guarded(registry: Properties) -> dict[str, Value]:
    """Make the registry's password secret, whether the program marked it or not."""
    guarded = dict(registry)
    password = guarded.get("password")
    if isinstance(password, str):
        guarded["password"] = Secret(password)
    return guarded


def _fields(value: Value) -> Properties:
    opened = value.element if isinstance(value, Secret) else value
    return cast("Properties", opened) if isinstance(opened, Mapping) else {}


def _rewrap(original: Value, replacement: dict[str, Value]) -> Value:
    return Secret(replacement) if isinstance(original, Secret) else replacement


def _join(*path: str) -> str:
    return ".".join(path)

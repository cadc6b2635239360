"""Mounts of a service: volumes, folders of the nodes, and memory."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from infra.stack import compose_keys, formats, shapes
from infra.stack.problems import Problem
from infra.stack.quantities import size_bytes
from infra.stack.sections import section_problems, shown, write_section
from infra.stack.yaml_values import as_list, as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from infra.stack.compose_keys import Section

Mount = dict[str, Any]

IN_THE_IMAGE = frozenset({"./dags", "./dag_builder/src/dag_builder"})
"""Folders of the project that the laptop mounts over the copies in Airflow's image."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the mount point, which a container has by itself

_WITH_OPTIONS = 3
"""Parts of a short mount that has options."""

_KINDS: Mapping[str, Section] = {
    "bind": compose_keys.BIND,
    "volume": compose_keys.MOUNT_VOLUME,
    "tmpfs": compose_keys.MOUNT_TMPFS,
}


def rendered_mounts(service: Mapping[str, Any]) -> list[str | Mount]:
    """Return the swarm's mounts of a service that has no problem."""
    mounts: list[str | Mount] = [
        mount if isinstance(mount, str) else _long(mount)
        for mount in as_list(service.get("volumes"))
        if _source(mount) not in IN_THE_IMAGE
    ]
    mounts += [_tmpfs(entry) for entry in _tmpfs_entries(service)]
    if service.get("shm_size") is not None:
        # Swarm ignores shm_size; an equivalent tmpfs mount works on both.
        mounts.append(_memory(SHARED_MEMORY, size_bytes(service["shm_size"])))
    return mounts


def mount_problems(
    path: str, service: Mapping[str, Any], volumes: Collection[str]
) -> Iterator[Problem]:
    """Report mounts that a node does not have, or that a stack does not support."""
    targets: list[tuple[str, str]] = []
    for index, mount in enumerate(as_list(service.get("volumes"))):
        place = f"{path}.volumes[{index}]"
        if is_object(mount):
            yield from _long_problems(place, as_object(mount))
        elif not isinstance(mount, str):
            yield Problem(path=place, given=shown(mount), valid="valid: a text or an object")
            continue
        elif _source(mount) not in IN_THE_IMAGE:
            yield from _short_problems(place, mount)
        yield from _source_problems(place, _source(mount), volumes)
        if _source(mount) not in IN_THE_IMAGE:
            targets.append((place, _target(mount)))
    for entry in _tmpfs_entries(service):
        yield from _tmpfs_problems(f"{path}.tmpfs", entry)
        targets.append((f"{path}.tmpfs", entry.partition(":")[0]))
    if service.get("shm_size") is not None:
        targets.append((f"{path}.shm_size", SHARED_MEMORY))
    yield from repeated(targets, ": something is mounted there already")


def _source(mount: object) -> str:
    """Return a mount's source; empty if it has none, like memory and anonymous volumes."""
    if is_object(mount):
        written = as_object(mount)
        return str(written.get("source") or "") if _kind(written) else ""
    source, separator, _ = str(mount).partition(":")
    return source if separator else ""


def _target(mount: object) -> str:
    if is_object(mount):
        return str(as_object(mount).get("target") or "")
    parts = str(mount).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def repeated(targets: Iterable[tuple[str, str]], why: str) -> Iterator[Problem]:
    """Report each target that an earlier one has; ``targets`` are pairs of place and target."""
    taken: set[str] = set()
    for place, target in targets:
        folder = posixpath.normpath(target)
        if folder in taken:
            yield Problem(
                path=place,
                given=repr(target),
                valid=f"valid: another target{why}",
            )
        taken.add(folder)


def _short_problems(path: str, mount: str) -> Iterator[Problem]:
    """Check ``[SOURCE:]TARGET[:OPTIONS]``; a stack passes over an option that it does not have."""
    parts = mount.split(":")
    source, target = _source(mount), _target(mount)
    options = parts[2].split(",") if len(parts) == _WITH_OPTIONS else []
    others = formats.PROPAGATION.fits if source.startswith("/") else "nocopy".__eq__
    if (
        len(parts) > _WITH_OPTIONS
        or "" in parts
        or not formats.FOLDER.fits(target)
        or not all(option in ("ro", "rw") or others(option) for option in options)
    ):
        yield Problem(
            path=path,
            given=repr(mount),
            valid="valid: VOLUME:/TARGET, /FOLDER:/TARGET or /TARGET, and then :ro or :rw, with a"
            " volume :nocopy, and with a folder its propagation",
        )


def _source_problems(path: str, source: str, volumes: Collection[str]) -> Iterator[Problem]:
    if not source or source.startswith("/") or source in IN_THE_IMAGE:
        return
    if source.startswith((".", "~")):
        yield Problem(
            path=path,
            given=repr(source),
            valid="valid: a volume, or an absolute path that every node has, because the nodes do"
            " not have this machine's folders",
            advice="copy the files into an image, or deliver them under configs or secrets",
        )
    elif source not in volumes:
        yield Problem(
            path=path,
            given=repr(source),
            valid=f"valid: {', '.join(sorted(volumes)) or 'nothing'}, which volumes declares",
            advice=f"declare {source} under volumes at the end of the file",
        )


def _kind(mount: Mapping[str, Any]) -> str:
    """Return what is mounted; empty if it is nothing that a stack has."""
    kind = mount.get("type")
    return kind if isinstance(kind, str) and kind in _KINDS else ""


def _long_problems(path: str, mount: Mapping[str, Any]) -> Iterator[Problem]:
    kind = _kind(mount)
    if not kind:
        yield Problem(
            path=f"{path}.type",
            given=shown(mount.get("type")),
            valid=f"valid: {', '.join(sorted(_KINDS))}",
        )
        return
    yield from _kind_problems(path, mount, kind)
    if not isinstance(mount.get("target"), str):
        yield Problem(path=f"{path}.target", valid="it is missing; valid: a path in the container")
    yield from section_problems(path, mount, compose_keys.MOUNT)
    for key, section in _KINDS.items():
        if is_object(mount.get(key)):
            yield from section_problems(f"{path}.{key}", mount[key], section)


def _kind_problems(path: str, mount: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    for other in _KINDS:
        if other != kind and mount.get(other) is not None:
            yield Problem(
                path=f"{path}.{other}",
                valid=f"it cannot be used with type {kind}",
                advice=f"write the options under {kind}",
            )
    source = _source(mount)
    if kind == "tmpfs" and source:
        yield Problem(
            path=f"{path}.source",
            given=repr(source),
            valid="it cannot be used with type tmpfs, which is memory",
            advice="remove it",
        )
    is_path = source.startswith(("/", ".", "~"))
    if (kind == "bind" and not is_path) or (kind == "volume" and is_path):
        named = "the name of a volume" if kind == "volume" else "an absolute path on the nodes"
        yield Problem(
            path=f"{path}.source",
            given=repr(source) if source else "nothing",
            valid=f"valid: {named}, because the type is {kind}",
        )


def _tmpfs_problems(path: str, entry: str) -> Iterator[Problem]:
    target, separator, options = entry.partition(":")
    name, _, value = options.partition("=")
    is_size = name == "size" and shapes.SIZE.fits(value)
    if not formats.FOLDER.fits(target) or (separator and not is_size):
        yield Problem(
            path=path,
            given=repr(entry),
            valid="valid: PATH or PATH:size=64m, with an absolute path, because a stack has no"
            " other option for it",
        )


def _long(mount: Mapping[str, Any]) -> Mount:
    """Leave out unsupported keys, and convert flags and sizes for a stack."""
    taken = write_section(mount, compose_keys.MOUNT)
    for kind, section in _KINDS.items():
        if kind in taken:
            taken[kind] = write_section(taken[kind], section)
    if size := taken.get("tmpfs", {}).get("size"):
        taken["tmpfs"] = {"size": size_bytes(size)}
    return {key: value for key, value in taken.items() if value != {}}


def _tmpfs_entries(service: Mapping[str, Any]) -> list[str]:
    given = service.get("tmpfs")
    return [given] if isinstance(given, str) else as_list(given)


def _tmpfs(entry: str) -> Mount:
    target, _, options = entry.partition(":")
    return _memory(target, size_bytes(options.removeprefix("size=")) if options else None)


def _memory(target: str, size: int | None) -> Mount:
    options = {} if size is None else {"tmpfs": {"size": size}}
    return {"type": "tmpfs", "target": target, **options}

"""Mounts of a service: volumes, folders of the nodes, and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.stack import compose_keys, shapes
from infra.stack.problems import Problem
from infra.stack.quantities import size_bytes
from infra.stack.sections import section_problems, write_section
from infra.stack.yaml_values import as_list, as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from infra.stack.compose_keys import Section

Mount = dict[str, Any]

IN_THE_IMAGE = frozenset({"./dags", "./dag_builder/src/dag_builder"})
"""Folders of the project that the laptop mounts over the copies in Airflow's image."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the mount point, which a container has by itself

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
    for index, mount in enumerate(as_list(service.get("volumes"))):
        place = f"{path}.volumes[{index}]"
        if is_object(mount):
            yield from _long_problems(place, as_object(mount))
        elif not isinstance(mount, str):
            yield Problem(path=place, given=repr(mount), valid="valid: a text or an object")
            continue
        yield from _source_problems(place, _source(mount), volumes)
    for entry in _tmpfs_entries(service):
        yield from _tmpfs_problems(f"{path}.tmpfs", entry)


def _source(mount: object) -> str:
    """Return a mount's source; empty if it has none, like memory and anonymous volumes."""
    if is_object(mount):
        written = as_object(mount)
        return str(written.get("source") or "") if written.get("type") in _KINDS else ""
    source, separator, _ = str(mount).partition(":")
    return source if separator else ""


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


def _long_problems(path: str, mount: Mapping[str, Any]) -> Iterator[Problem]:
    kind = mount.get("type")
    if kind not in _KINDS:
        yield Problem(
            path=f"{path}.type", given=repr(kind), valid=f"valid: {', '.join(sorted(_KINDS))}"
        )
    if not isinstance(mount.get("target"), str):
        yield Problem(path=f"{path}.target", valid="it is missing; valid: a path in the container")
    yield from section_problems(path, mount, compose_keys.MOUNT)
    for key, section in _KINDS.items():
        if is_object(mount.get(key)):
            yield from section_problems(f"{path}.{key}", mount[key], section)


def _tmpfs_problems(path: str, entry: str) -> Iterator[Problem]:
    _, _, options = entry.partition(":")
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name != "size" or not shapes.SIZE.fits(value):
            yield Problem(
                path=path,
                given=repr(entry),
                valid="valid: PATH or PATH:size=64m, because a stack supports no other option",
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

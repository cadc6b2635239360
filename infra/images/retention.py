"""Keeps the images of the newest releases after a deployment, on nodes and in the registry.

A release is the list of references (``registry/repository@sha256:…``) of a deployment. Only images
with the name of the cluster's own registry are removed, so an image of another owner is never a
candidate; and the engine does not remove an image that a running container uses.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from infra.images import registry
from infra.project import STACK_NAME
from infra.remote.script import script

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from infra.remote.runner import Runner

REMOVAL_TIMEOUT_SECONDS = 300.0
COLLECTION_TIMEOUT_SECONDS = 900.0
COLLECTOR = f"{registry.CONTAINER}-collector"
_LIST = "docker image ls --digests --no-trunc --format '{{.Repository}}@{{.Digest}}'"
COLLECT = script(
    "images/scripts/collect_garbage.sh",
    CONTAINER=registry.CONTAINER,
    COLLECTOR=COLLECTOR,
    OPTIONS=registry.CONFINED,
    CONFIGURATION="/etc/dairflow-registry/config.yml",
)


def newest(former: Sequence[Sequence[str]], current: Collection[str], keep: int) -> list[list[str]]:
    """Return the releases to keep, newest first; a release that is deployed again is the newest."""
    release = sorted(current)
    others = [list(one) for one in former if sorted(one) != release]
    return [release, *others][:keep]


def unkept(listed: Collection[str], owned: Collection[str], kept: Collection[str]) -> list[str]:
    """Return the references among ``listed`` that begin with one of ``owned`` and are not kept."""
    return sorted(
        reference
        for reference in set(listed)
        if reference.startswith(tuple(owned)) and "@sha256:" in reference and reference not in kept
    )


def clean_node(
    runner: Runner,
    *,
    owned: Collection[str],
    kept: Collection[str],
    report: Callable[[str], None],
) -> None:
    """Remove a node's images that no kept release uses, and their containers of ended tasks.

    The swarm keeps the containers of ended tasks, and an image cannot be removed while it has a
    container. ``owned`` are the prefixes of the cluster's own names.

    Raises:
        RemoteError: if the machine or its engine does not answer.

    """
    obsolete = unkept(runner.run(_LIST).stdout.split(), owned, kept)
    if not obsolete:
        return
    refused = runner.run(_removal(obsolete), timeout=REMOVAL_TIMEOUT_SECONDS).stdout.strip()
    for line in refused.splitlines():
        report(f"{runner.machine.name}: an image stays until the next release: {line}")


def _removal(references: Sequence[str]) -> str:
    ended = f"--filter status=exited --filter label=com.docker.stack.namespace={STACK_NAME}"
    return (
        f"# remove images that no kept release has\nfor image in {shlex.join(references)}; do\n"
        f'    docker ps -aq --filter "ancestor=$image" {ended} | xargs -r docker rm -v >/dev/null\n'
        '    docker image rm "$image" 2>&1 >/dev/null || true\n'
        "done"
    )


def clean_registry(runner: Runner, endpoint: registry.Endpoint, *, kept: Collection[str]) -> int:
    """Delete the embedded registry's images except ``kept``, and free their space.

    ``runner`` is for the registry's machine. The registry is stopped for a few seconds during its
    garbage collection: a layer that is pushed meanwhile would be lost (the engine's "garbage
    collection" page). Returns the number of deleted manifests.

    Raises:
        RegistryError: if the registry does not answer as expected.
        RemoteError: if the collection failed.

    """
    digests = {reference.partition("@")[2] for reference in kept}
    deleted = sum(
        _delete_manifests(endpoint, repository, digests)
        for repository in _get(endpoint, "/v2/_catalog?n=1000")["repositories"]
    )
    if deleted:
        runner.run(COLLECT, timeout=COLLECTION_TIMEOUT_SECONDS)
    return deleted


def _delete_manifests(endpoint: registry.Endpoint, repository: str, kept: Collection[str]) -> int:
    tags: list[str] = _get(endpoint, f"/v2/{repository}/tags/list").get("tags") or []
    present = {registry.digest(endpoint, repository, tag) for tag in tags} - {""}
    parts = {digest: _parts(endpoint, repository, digest) for digest in present}
    stay = {one for digest in present & set(kept) for one in (digest, *parts[digest])}
    obsolete = {one for digest in present for one in (digest, *parts[digest])} - stay
    for digest in obsolete:
        registry.request(endpoint, "DELETE", f"/v2/{repository}/manifests/{digest}")
    return len(obsolete)


def _parts(endpoint: registry.Endpoint, repository: str, digest: str) -> list[str]:
    """Return the manifests that an index refers to: containerd's image store pushes indexes."""
    manifest = _get(endpoint, f"/v2/{repository}/manifests/{digest}")
    parts: list[dict[str, Any]] = manifest.get("manifests") or []
    return [part["digest"] for part in parts]


def _get(endpoint: registry.Endpoint, path: str) -> dict[str, Any]:
    answer = registry.request(endpoint, "GET", path)
    if answer.body is None:
        return {}
    return json.loads(answer.body)

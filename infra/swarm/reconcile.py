"""Bring the swarm on the machines to what is wanted, and verify that it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.machine import Machine
    from infra.remote.runner import RunnerPool
    from infra.swarm.cluster import Cluster, ClusterState


def reconcile(
    cluster: Cluster,
    pool: RunnerPool,
    report: Callable[[str], None],
    *,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> ClusterState:
    """Bring the swarm to ``cluster``; what is there already stays as it is.

    ``leaving`` are machines of the last run that are wanted no more: they drain, leave and are
    cleaned; one that does not answer is removed from the managers' side. ``cluster_id`` is the
    swarm that the last run left, so that another one is refused. ``report`` is given one line of
    progress at a time, from several threads.

    Raises:
        SwarmError: the machines cannot become this swarm; the text says why and what to do.
        RemoteError: a machine does not answer, or a command on it failed.

    """
    raise NotImplementedError


def observe(cluster: Cluster, pool: RunnerPool, *, cluster_id: str | None = None) -> ClusterState:
    """Look at what is there, changing nothing; ``pending`` tells what differs from ``cluster``.

    A worker that does not answer is described as its manager sees it.

    Raises:
        SwarmError: no manager answers, or the swarm there is another one.

    """
    raise NotImplementedError


def dismantle(cluster: Cluster, pool: RunnerPool, report: Callable[[str], None]) -> tuple[str, ...]:
    """Leave the swarm on every machine and remove the firewall and files of ours.

    The engine, its images and its volumes stay. Returns the names of machines that did not
    answer, which are left as they are: a machine may be gone already.
    """
    raise NotImplementedError

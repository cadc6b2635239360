"""Sets labels and availability of nodes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.swarm.cluster import MACHINE_LABEL, PRIMARY_LABEL
from infra.swarm.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.membership import Membership

UPDATES_A_COMMAND = 50
"""Node updates in one command: a word of a command line is at most 128 KiB (execve(2)), and a lost
race with a node's own updates runs the whole command again."""


@dataclass(frozen=True, kw_only=True)
class NodeChange:
    """Change of a node. ``node_id`` is empty if the node has not joined yet."""

    name: str
    node_id: str
    add_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    remove_labels: tuple[str, ...] = ()
    activate: bool = False

    @property
    def words(self) -> str:
        """Description of the change."""
        parts = [f"{key}={value}" for key, value in sorted(self.add_labels.items())]
        parts += [f"no {key}" for key in self.remove_labels]
        words = [f"labels {', '.join(parts)}"] if parts else []
        words += ["availability active"] if self.activate else []
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class UpdateNodes(Step):
    """Set labels and availability of several nodes in one command."""

    via: Machine
    changes: tuple[NodeChange, ...]

    @property
    def subject(self) -> str:
        """The names of the nodes."""
        return ", ".join(change.name for change in self.changes)

    @property
    def todo(self) -> str:
        """A line for each node."""
        return "\n".join(f"{change.name}: set {change.words}" for change in self.changes)

    @property
    def done(self) -> str:
        """A line for each node."""
        return "\n".join(f"{change.name}: {change.words}" for change in self.changes)

    def take(self, execution: Execution) -> None:
        """Update the nodes, those that this run has added by their new IDs."""
        execution.update(self.via, update_nodes(self.changes, execution.node_ids))


def updates(cluster: Cluster, membership: Membership) -> Iterator[Step]:
    """Set the labels and the availability that nodes do not have yet."""
    primary = cluster.managers[0].name
    changes = [_change(machine, membership, primary) for machine in cluster.machines]
    needed = [change for change in changes if change is not None]
    via = membership.manager or cluster.managers[0]
    for start in range(0, len(needed), UPDATES_A_COMMAND):
        yield UpdateNodes(via=via, changes=tuple(needed[start : start + UPDATES_A_COMMAND]))


def _change(machine: Machine, membership: Membership, primary: str) -> NodeChange | None:
    wanted = {**machine.labels, MACHINE_LABEL: machine.name}
    if machine.name == primary:
        wanted[PRIMARY_LABEL] = "true"
    node = membership.members.get(machine.name)
    there: Mapping[str, str] = node.labels if node else {}
    added = {key: value for key, value in wanted.items() if there.get(key) != value}
    removed = tuple(sorted(there.keys() - wanted.keys()))
    begins = membership.manager is None and machine.name == primary
    activate = node.availability != "active" if node else not begins
    if not (added or removed or activate):
        return None
    return NodeChange(
        name=machine.name,
        node_id=node.node_id if node else "",
        add_labels=added,
        remove_labels=removed,
        activate=activate,
    )


def update_nodes(changes: tuple[NodeChange, ...], node_ids: Mapping[str, str]) -> str:
    """Set labels and availability, one update for each node, so that both change together."""
    return " && ".join(_update_node(change, node_ids) for change in changes)


def _update_node(change: NodeChange, node_ids: Mapping[str, str]) -> str:
    words = ["docker", "node", "update"]
    for key, value in sorted(change.add_labels.items()):
        words += ["--label-add", f"{key}={value}"]
    for key in change.remove_labels:
        words += ["--label-rm", key]
    if change.activate:
        words += ["--availability", "active"]
    words.append(change.node_id or node_ids[change.name])
    return f"{shlex.join(words)} > /dev/null"

"""Creates the swarm, removes its stale nodes, and joins machines to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra import ports
from infra.remote.runner import RemoteError
from infra.swarm import commands
from infra.swarm.admission import address_pool
from infra.swarm.certificate import VALIDITY_DAYS
from infra.swarm.commands import NODE_ID
from infra.swarm.membership import name_of
from infra.swarm.roles import Demote
from infra.swarm.step import MachineStep, NodeStep, Step
from infra.swarm.validity import expiry_option

if TYPE_CHECKING:
    from infra.remote.machine import Machine, Role
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.facts import SwarmNode
    from infra.swarm.membership import Membership


class ForgetSwarm(MachineStep):
    """Leave a swarm that no longer lists this machine, or that is lost."""

    TODO = "leave a lost swarm"
    DONE = "left a lost swarm"

    def take(self, execution: Execution) -> None:
        """Leave by force."""
        execution.swarm(self.machine, commands.FORGET_SWARM)


@dataclass(frozen=True, kw_only=True)
class InitSwarm(MachineStep):
    """Create a swarm. ``address_pool`` is the address pool of its overlay networks."""

    address_pool: str = ""

    TODO = "initialise the swarm"
    DONE = "swarm initialised"

    @property
    def options(self) -> str:
        """The options of ``docker swarm init`` for the machine's addresses and the networks."""
        address = self.machine.private_address
        pool = f" --default-addr-pool {self.address_pool}" if self.address_pool else ""
        return (
            f"--advertise-addr {address} --listen-addr {address}:{ports.SWARM}"
            f" --data-path-addr {address}{pool}"
        )

    @property
    def command(self) -> str:
        """The command, which prints the node's ID and the two join tokens, a line each."""
        return (
            f"docker swarm init {self.options} {expiry_option(VALIDITY_DAYS)} > /dev/null"
            f" && {NODE_ID} && docker swarm join-token -q worker"
            " && docker swarm join-token -q manager"
        )

    def take(self, execution: Execution) -> None:
        """Create it, and save its join tokens."""
        node_id, worker, manager = execution.swarm(self.machine, self.command).split()
        execution.set_node_id(self.machine, node_id)
        execution.set_tokens(worker=worker, manager=manager)


@dataclass(frozen=True, kw_only=True)
class Join(MachineStep):
    """Join the swarm, drained, through the managers' private addresses."""

    role: Role
    managers: tuple[str, ...]

    TODO = "join the swarm as {role}"
    DONE = "joined the swarm as {role}"

    def command(self, token: str) -> tuple[str, bytes]:
        """Return a command that joins, drained, and its standard input.

        It uses the engine's API (`SwarmJoin`) instead of ``docker swarm join``, which takes the
        token as an argument that every user of the machine can list. Prints the HTTP answer, then
        the node's ID.
        """
        address = self.machine.private_address
        body = json.dumps(
            {
                "ListenAddr": f"{address}:{ports.SWARM}",
                "AdvertiseAddr": address,
                "DataPathAddr": address,
                "RemoteAddrs": [f"{manager}:{ports.SWARM}" for manager in self.managers],
                "JoinToken": token,
                "Availability": "drain",
            }
        ).encode()
        head = (
            "POST /swarm/join HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return f"docker system dial-stdio && printf '\\n' && {NODE_ID}", head.encode() + body

    def take(self, execution: Execution) -> None:
        """Join, and save the node's ID."""
        command, stdin = self.command(execution.token(self.role))
        answer = execution.swarm(self.machine, command, stdin=stdin)
        try:
            node_id = joined_node_id(answer)
        except ValueError as exc:
            managers = ", ".join(f"{m}:{ports.SWARM}" for m in self.managers)
            raise RemoteError(
                machine=self.machine,
                tried=f"joined the swarm as {self.role} through {managers}",
                answer=str(exc),
                next_step=(
                    f"check that {managers} can be reached from there over TCP, then rerun the"
                    " command"
                ),
            ) from exc
        execution.set_node_id(self.machine, node_id)


def joined_node_id(answer: str) -> str:
    """Return the node's ID from the output of `Join.command`.

    Raises:
        ValueError: if the engine rejected the request; the text is the engine's message.

    """
    head, _, body = answer.partition("\r\n\r\n")
    status = head.partition("\r\n")[0]
    if " 200 " in status:
        return body.split()[-1]
    try:
        message = json.JSONDecoder().raw_decode(body.lstrip())[0]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"it answered {status or 'nothing'}"
    raise ValueError(message)


class RemoveNode(NodeStep):
    """Remove a node from the managers' list, down or not; succeeds if the node does not exist."""

    TODO = "remove the node from the swarm's list"
    DONE = "removed from the swarm's list"

    def take(self, execution: Execution) -> None:
        """Remove it by force."""
        execution.swarm(
            self.via,
            f"docker node rm --force {self.node_id} > /dev/null 2>&1"
            f" || ! docker node inspect {self.node_id} > /dev/null 2>&1",
        )


def beginnings(cluster: Cluster, membership: Membership) -> tuple[tuple[Step, ...], ...]:
    """Leave lost swarms; create the swarm, or remove its stale nodes."""
    first = cluster.managers[0]
    lanes: list[tuple[Step, ...]] = [
        (ForgetSwarm(machine=machine),)
        for machine in cluster.machines
        if machine.name in membership.lost and (machine != first or membership.manager)
    ]
    if membership.manager is None:
        init = InitSwarm(machine=first, address_pool=address_pool(cluster.members))
        forget = (ForgetSwarm(machine=first),) if first.name in membership.lost else ()
        lanes.append((*forget, init))
    else:
        stale_nodes: list[Step] = []
        for node in membership.stale_nodes:
            stale_nodes += _remove_stale_node(membership.manager, node)
        lanes.append(tuple(stale_nodes))
    return tuple(lanes)


def _remove_stale_node(via: Machine, node: SwarmNode) -> tuple[Step, ...]:
    name, node_id = name_of(node), node.node_id
    remove = RemoveNode(via=via, name=name, node_id=node_id)
    if not node.is_voter:
        return (remove,)
    return (Demote(via=via, name=name, node_id=node_id, machine=None), remove)


def joins(cluster: Cluster, membership: Membership) -> tuple[tuple[Step, ...], ...]:
    """Join managers one after the other, for Raft's quorum, and workers in parallel."""
    first = membership.manager or cluster.managers[0]
    needed = [
        Join(machine=machine, role=machine.role, managers=(first.private_address,))
        for machine in cluster.machines
        if machine.name not in membership.members and (membership.manager or machine != first)
    ]
    managers = tuple(join for join in needed if join.role == "manager")
    return (managers, *((join,) for join in needed if join.role == "worker"))

"""What a simulated host and the swarm behind it are: state, rules and durations; no SSH.

What a real host would refuse is refused here too (`Refusal`), so that steps in a wrong order fail.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from infra.remote.machine import Role

_MEMBERS = re.compile(r"set members \{[^}]*?elements = \{ ([^}]*) \}")


class Refusal(Exception):  # noqa: N818 - what the host answers, and no failure of this program
    """What a host says instead of doing it; ``status`` is the command's exit status."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        """``message`` goes to standard error."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds that things take on a host, besides the network.

    ``boot``, ``round_trip`` and ``engine_install`` are the scenario's. The others were measured on
    node containers with Docker 26.1 (a step's own time, without SSH).
    """

    boot: float = 40.0
    round_trip: float = 0.05
    engine_install: float = 20.0
    package_install: float = 5.0
    facts: float = 0.1
    firewall: float = 0.04
    swarm_init: float = 0.7
    swarm_join: float = 0.3
    swarm_leave: float = 0.3
    node_update: float = 0.027
    node_inspect: float = 0.0006

    def scaled(self, factor: float) -> Timing:
        """Return the same with every duration multiplied."""
        return Timing(**{name: seconds * factor for name, seconds in asdict(self).items()})


@dataclass(kw_only=True)
class Node:
    """An entry of the managers' list."""

    node_id: str
    host: Host
    role: Role
    availability: Literal["active", "drain"]
    labels: dict[str, str] = field(default_factory=dict[str, str])
    leader: bool = False


@dataclass(kw_only=True)
class Swarm:
    """The one swarm that the hosts can be in."""

    cluster_id: str = field(default_factory=lambda: secrets.token_hex(12))
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    tokens: dict[str, Role] = field(default_factory=dict[str, "Role"])

    def token(self, role: Role) -> str:
        """Return the token that a node joins with."""
        return next(token for token, admits in self.tokens.items() if admits == role)

    def node(self, node_id: str) -> Node:
        """Return a node that is listed."""
        if node_id not in self.nodes:
            message = f"Error response from daemon: node {node_id} not found"
            raise Refusal(message)
        return self.nodes[node_id]


@dataclass(kw_only=True)
class Host:
    """One host: what is installed on it, and its part in the swarm.

    ``ruleset`` is the firewall that is loaded, empty for none; ``certificates`` maps a path to the
    file's bytes.
    """

    name: str
    address: str
    world: World
    has_nft: bool = True
    engine: Literal["missing", "running"] = "missing"
    ruleset: bytes = b""
    certificates: dict[str, bytes] = field(default_factory=dict[str, bytes])
    node_id: str = ""

    @property
    def members(self) -> frozenset[str]:
        """The addresses that the firewall lets in as members; none without a firewall."""
        found = _MEMBERS.search(self.ruleset.decode())
        return frozenset(found.group(1).split(", ")) if found else frozenset()

    @property
    def node(self) -> Node | None:
        """The host's entry on the managers' list, if there is one."""
        return self.world.swarm.nodes.get(self.node_id) if self.world.swarm else None

    @property
    def firewall_digest(self) -> str:
        """What the facts call the ruleset."""
        return hashlib.sha256(self.ruleset).hexdigest()[:16]

    def need_engine(self) -> None:
        """Refuse what needs an engine that is not there."""
        if self.engine == "missing":
            message = "sh: 1: docker: not found"
            raise Refusal(message, status=127)

    def manage(self) -> Swarm:
        """Return the swarm that this host manages."""
        self.need_engine()
        node = self.node
        if self.world.swarm is None or node is None or node.role != "manager":
            message = "Error response from daemon: This node is not a swarm manager."
            raise Refusal(message)
        return self.world.swarm

    def load_firewall(self, ruleset: bytes) -> None:
        """Take a ruleset."""
        if not self.has_nft:
            message = "sh: 1: nft: not found"
            raise Refusal(message, status=127)
        if not ruleset.startswith(b"table inet dairflow\ndelete table inet dairflow\n"):
            message = "Error: syntax error: no ruleset that replaces the table"
            raise Refusal(message)
        self.ruleset = ruleset

    def init(self, address: str) -> Swarm:
        """Make the swarm, known to the others by ``address``."""
        self._need_no_swarm(address)
        swarm = Swarm()
        swarm.tokens = {f"SWMTKN-{secrets.token_hex(8)}-{role}": role for role in _ROLES}
        self.world.swarm = swarm
        self._enter(swarm, "manager", "active", leader=True)
        return swarm

    def join(self, token: str, managers: list[str], address: str, availability: str) -> None:
        """Join by way of ``managers`` (private addresses), known to the others by ``address``."""
        self._need_no_swarm(address)
        if availability != "drain":
            message = f"tasks would be placed on it before it has its labels ({availability})"
            raise Refusal(message)
        swarm = self.world.swarm
        for contact in managers:
            manager = self.world.by_address.get(contact)
            if manager is not None and manager.node is not None and swarm is not None:
                self._need_passage(manager)
                if token not in swarm.tokens:
                    message = (
                        "rpc error: code = InvalidArgument desc = A valid join token is necessary"
                    )
                    raise Refusal(message)
                self._enter(swarm, swarm.tokens[token], "drain")
                return
        message = f"rpc error: code = Unavailable desc = connection refused by {managers}"
        raise Refusal(message)

    def leave(self, *, force: bool) -> None:
        """Leave the swarm, from this host's side; the managers' list keeps the entry."""
        self.need_engine()
        if not self.node_id:
            message = "Error response from daemon: This node is not part of a swarm"
            raise Refusal(message)
        if self.node is not None and self.node.role == "manager" and not force:
            message = "Error response from daemon: You are attempting to leave a manager"
            raise Refusal(message)
        self.world.left.add(self.node_id)
        self.node_id = ""
        if self.world.swarm and self.world.swarm.nodes.keys() <= self.world.left:
            self.world.swarm = None

    def _need_no_swarm(self, address: str) -> None:
        self.need_engine()
        if address != self.address:
            message = f"Error response from daemon: {address} is not an address of this host"
            raise Refusal(message)
        if self.node_id:
            message = "This node is already part of a swarm"
            raise Refusal(message)

    def _need_passage(self, manager: Host) -> None:
        """Refuse unless both firewalls are closed, and let each other in."""
        for there, comes_from in ((manager, self), (self, manager)):
            if comes_from.address not in there.members:
                state = "does not let it in" if there.ruleset else "is not loaded"
                message = (
                    "rpc error: code = DeadlineExceeded desc = context deadline exceeded:"
                    f" from {comes_from.name} to {there.name}, whose firewall {state}"
                )
                raise Refusal(message)

    def _enter(
        self,
        swarm: Swarm,
        role: Role,
        availability: Literal["active", "drain"],
        *,
        leader: bool = False,
    ) -> None:
        self.node_id = secrets.token_hex(12)
        swarm.nodes[self.node_id] = Node(
            node_id=self.node_id, host=self, role=role, availability=availability, leader=leader
        )


_ROLES: tuple[Role, ...] = ("worker", "manager")


class World:
    """All hosts, and the swarm once there is one."""

    def __init__(self, names: list[str]) -> None:
        """Make the hosts; their private addresses count up from 10.40.0.1."""
        first = IPv4Address("10.40.0.1")
        self.swarm: Swarm | None = None
        self.left: set[str] = set()
        """IDs of nodes whose hosts have left: they are down."""
        self.hosts = {
            name: Host(name=name, address=str(first + number), world=self)
            for number, name in enumerate(names)
        }
        self.by_address = {host.address: host for host in self.hosts.values()}

"""Facts of a machine, read in one round trip; the parsing is pure.

`SCRIPT` prints sections of plain text and JSON; `parse` turns them into `MachineFacts`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from infra import ports
from infra.clock import ClockReading
from infra.firewall import TABLE_NAME
from infra.remote.machine_facts import read_mtus, read_ssh_connection
from infra.remote.script import script
from infra.swarm.certificate import NodeCertificate, read_certificate
from infra.swarm.errors import SwarmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine

FIREWALL_FILE = "/etc/dairflow/firewall.nft"
FIREWALL_LIVE_FILE = "/etc/dairflow/firewall.live"
"""The checksum of the kernel's listing right after loading: a different listing later means that
the table was changed by hand. The listing is numeric, since names come from packages."""
TRUST_MARK = "# Written by dairflow"
"""First line of the certificates that dairflow installs; a PEM reader skips it (RFC 7468, 2)."""

KEPT_FOLDER = "swarm.kept"
"""Copy of the engine's folder ``swarm``, beside it, while a swarm is recovered."""

EngineState = Literal["missing", "stopped", "running"]

_INFO_FORMAT = (
    "{{json .ServerVersion}} {{with .Swarm}}{{json .LocalNodeState}} {{json .ControlAvailable}}"
    " {{json .NodeID}} {{json .NodeAddr}} {{json .Error}} {{json .RemoteManagers}}"
    ' {{with .Cluster}}{{json .ID}}{{else}}""{{end}}{{end}}\n'
    "{{json .DockerRootDir}} {{with .Swarm}}{{with .Cluster}}"
    "{{json .Spec.CAConfig.NodeCertExpiry}}{{else}}0{{end}}{{end}}"
)

_NODE_FORMAT = " ".join(
    "{{json " + key + "}}"
    for key in (
        ".ID",
        ".Description.Hostname",
        ".Spec.Role",
        ".Spec.Availability",
        ".Status.State",
        ".Status.Addr",
        ".Spec.Labels",
        ".Description.Engine.EngineVersion",
        ".ManagerStatus",
    )
)


SCRIPT = script(
    "swarm/scripts/read_facts.sh",
    FIREWALL_FILE=FIREWALL_FILE,
    LIVE_FILE=FIREWALL_LIVE_FILE,
    TABLE=TABLE_NAME,
    TRUST_MARK=TRUST_MARK,
    KEPT_FOLDER=KEPT_FOLDER,
    INFO_FORMAT=_INFO_FORMAT,
    NODE_FORMAT=_NODE_FORMAT,
)
"""The script that prints a machine's facts; see `parse`."""


@dataclass(frozen=True, kw_only=True)
class SwarmNode:
    """A node as a manager lists it. ``reachability`` is empty for a worker."""

    node_id: str
    hostname: str
    role: str
    availability: str
    state: str
    address: str
    labels: Mapping[str, str]
    engine_version: str
    leader: bool = False
    reachability: str = ""

    @property
    def is_voter(self) -> bool:
        """Whether it is a member of Raft. After a recovery, former managers are not."""
        return bool(self.reachability)


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """The facts of a machine. Swarm's fields are empty if it is not in a swarm.

    ``firewall_digest`` is the digest of the active ruleset, empty if there is none or it was
    changed. ``mtus`` maps the machine's own IPv4 addresses to the MTU (bytes) of their device. Only
    managers have ``nodes``, the tokens, ``cluster_id`` and ``certificate_seconds``, the validity of
    the swarm's certificates; ``nodes_error`` is why a manager could not list the nodes.

    ``certificate`` is the node's own. ``has_raft`` is true if the swarm's data are on the disk,
    ``has_copy`` if a copy of them from an interrupted recovery is.
    """

    hostname: str
    ssh_client: str = ""
    ssh_port: int = ports.SSH
    os_family: tuple[str, ...] = ()
    mtus: Mapping[str, int] = field(default_factory=dict[str, int])
    has_nft: bool = True
    firewall_digest: str = ""
    trusted: Mapping[str, str] = field(default_factory=dict[str, str])
    esp: bool = False
    engine: EngineState = "running"
    engine_version: str = ""
    swarm_state: str = "inactive"
    swarm_error: str = ""
    node_id: str = ""
    node_address: str = ""
    cluster_id: str = ""
    remote_managers: tuple[str, ...] = ()
    nodes: tuple[SwarmNode, ...] = ()
    nodes_error: str = ""
    worker_token: str = field(default="", repr=False)
    manager_token: str = field(default="", repr=False)
    certificate_seconds: float = 0.0
    certificate: NodeCertificate | None = None
    has_raft: bool = False
    has_copy: bool = False
    clock: ClockReading | None = None

    @property
    def is_manager(self) -> bool:
        """Whether it reports that it is a manager of some swarm."""
        return bool(self.cluster_id)

    @property
    def holds_swarm(self) -> bool:
        """Whether the data of a swarm are on its disk: services, secrets, the root's key."""
        demoted = self.certificate is not None and self.certificate.role != "manager"
        return self.has_copy or (self.has_raft and not demoted)

    @property
    def is_expired(self) -> bool:
        """Whether its certificate has expired, by its own clock."""
        return (
            self.certificate is not None
            and self.clock is not None
            and self.clock.ended > self.certificate.not_after
        )


def certificate_file(certificate: str) -> bytes:
    """Return the file by which an engine trusts a registry: the mark, then the PEM."""
    return f"{TRUST_MARK}\n{certificate.strip()}\n".encode()


def certificate_checksum(certificate: str) -> str:
    """Return the checksum that `MachineFacts.trusted` has after the certificate is installed."""
    return hashlib.sha256(certificate_file(certificate)).hexdigest()


def parse(
    machine: Machine, text: str, *, window: tuple[float, float] | None = None
) -> MachineFacts:
    """Parse the output of `SCRIPT`.

    ``window`` is the times of the request and of the answer by the operator's clock.

    Raises:
        SwarmError: if the text is not the script's output; names the machine and the section.

    """
    sections = _sections(text)
    section = ""
    try:
        section = "hostname"
        hostname = sections[section]
        section = "ssh"
        client, port = read_ssh_connection(sections[section])
        section = "addresses"
        mtus = read_mtus(sections[section])
        section = "firewall"
        firewall = sections[section].split()
        section = "trust"
        trusted = _trusted(sections[section])
        section = "engine"
        engine = _engine(sections[section])
        section = "info"
        info = _info(sections.get(section, ""))
        section = "nodes"
        nodes = tuple(_node(line) for line in sections.get(section, "").splitlines())
        section = "tokens"
        tokens = sections.get(section, "").split() or ["", ""]
        worker_token, manager_token = tokens
        section = "certificate"
        certificate = read_certificate(sections.get(section, ""))
        section = "ended"
        clock = ClockReading.read(window, sections.get("began", ""), sections.get(section, ""))
    except (KeyError, ValueError, TypeError, AttributeError) as exc:
        message = (
            f"{machine}: reading its facts failed: the section {section!r} of the answer cannot be"
            f" parsed ({type(exc).__name__})\n"
            "Next: run `docker info` there and check its output"
        )
        raise SwarmError(message) from exc
    return MachineFacts(
        hostname=hostname,
        ssh_client=client,
        ssh_port=port,
        os_family=tuple(sections.get("os", "").split()),
        mtus=mtus,
        has_nft=bool(sections.get("nft")),
        firewall_digest=firewall[0] if firewall[1:] == ["live"] else "",
        trusted=trusted,
        esp=sections.get("esp") == "yes",
        engine=engine,
        nodes=nodes,
        nodes_error=sections.get("nodes-error", ""),
        worker_token=worker_token,
        manager_token=manager_token,
        certificate=certificate,
        has_raft="raft" in sections.get("disk", "").split(),
        has_copy="kept" in sections.get("disk", "").split(),
        clock=clock,
        **info,
    )


def _sections(text: str) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = sections.setdefault(line.removeprefix("== "), [])
        else:
            lines.append(line)
    return {name: "\n".join(kept).strip() for name, kept in sections.items()}


def _trusted(text: str) -> dict[str, str]:
    """Map a registry to the checksum of its certificate, from sha256sum's lines."""
    checksums = (line.split(maxsplit=1) for line in text.splitlines())
    return {path.split("/")[-2]: checksum for checksum, path in checksums}


def _engine(text: str) -> EngineState:
    states: tuple[EngineState, ...] = ("missing", "stopped", "running")
    return states[states.index(text)]  # type: ignore[arg-type] # a ValueError otherwise


def _info(text: str) -> dict[str, Any]:
    if not text:
        return {}
    swarm, _, engine = text.partition("\n")
    version, state, is_manager, node_id, address, error, peers, cluster_id = _values(swarm)
    expiry_nanoseconds = _values(engine)[1] if engine else 0
    managers: list[dict[str, str]] = peers or []
    return {
        "engine_version": version,
        "swarm_state": state,
        "swarm_error": error,
        "node_id": node_id,
        "node_address": address,
        "cluster_id": cluster_id if is_manager else "",
        "certificate_seconds": expiry_nanoseconds / 1e9,
        "remote_managers": tuple(
            sorted(manager["Addr"].rpartition(":")[0] for manager in managers)
        ),
    }


def _node(line: str) -> SwarmNode:
    node_id, hostname, role, availability, state, address, labels, version, manager = _values(line)
    status: dict[str, Any] = manager or {}
    return SwarmNode(
        node_id=node_id,
        hostname=hostname,
        role=role,
        availability=availability,
        state=state,
        address=address,
        labels=labels or {},
        engine_version=version,
        leader=bool(status.get("Leader")),
        reachability=status.get("Reachability", ""),
    )


def _values(line: str) -> list[Any]:
    """Read JSON values that are separated by single spaces."""
    decoder, values, position = json.JSONDecoder(), list[Any](), 0
    while position < len(line):
        value, position = decoder.raw_decode(line, position)
        values.append(value)
        position += 1
    return values

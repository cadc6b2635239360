"""Prepares a machine for the swarm: firewall, engine, trusted registries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from infra.firewall import digest, nftables_ruleset
from infra.swarm import commands
from infra.swarm.execute import SWARM_COMMAND_SECONDS
from infra.swarm.facts import certificate_checksum, certificate_file
from infra.swarm.step import MachineStep, Step

if TYPE_CHECKING:
    from infra.remote.machine import Machine
    from infra.swarm.cluster import Cluster
    from infra.swarm.execute import Execution
    from infra.swarm.facts import MachineFacts


@dataclass(frozen=True, kw_only=True)
class _Installation(MachineStep):
    SCRIPT: ClassVar[str]
    PACKAGE: ClassVar[str]

    def take(self, execution: Execution) -> None:
        """Install the package from the system's sources."""
        execution.report(
            f"{self.subject}: installing {self.PACKAGE} from the system's packages"
            f" (at most {commands.APT_SECONDS} s a command)"
        )
        execution.on(self.machine).run(self.SCRIPT, timeout=commands.INSTALL_SECONDS)


class InstallNftables(_Installation):
    """Install the firewall's command from the system's packages."""

    TODO = "install nftables"
    DONE = "nftables installed"
    PACKAGE = "nftables"
    SCRIPT = commands.INSTALL_NFTABLES


class InstallEngine(_Installation):
    """Install Docker's engine from the system's packages, and start it."""

    TODO = "install Docker's engine"
    DONE = "Docker's engine installed"
    PACKAGE = "Docker's engine"
    SCRIPT = commands.INSTALL_ENGINE


class StartEngine(MachineStep):
    """Start an engine that is installed but does not run."""

    TODO = "start Docker's engine"
    DONE = "Docker's engine started"

    def take(self, execution: Execution) -> None:
        """Start it, and wait until it answers."""
        execution.on(self.machine).run(commands.START_ENGINE, timeout=SWARM_COMMAND_SECONDS)


@dataclass(frozen=True, kw_only=True)
class LoadFirewall(MachineStep):
    """Replace the machine's firewall in one transaction, now and at every boot."""

    ruleset: str = field(repr=False)
    members: int

    TODO = "load the firewall for {members} members"
    DONE = "firewall loaded for {members} members"

    def take(self, execution: Execution) -> None:
        """Load it from standard input."""
        execution.on(self.machine).run(commands.LOAD_FIREWALL, stdin=self.ruleset.encode())


@dataclass(frozen=True, kw_only=True)
class TrustRegistry(MachineStep):
    """Make the machine's engine trust a registry's certificate."""

    registry: str
    certificate: str = field(repr=False)

    TODO = "trust the registry {registry}"
    DONE = "trusts the registry {registry}"

    def take(self, execution: Execution) -> None:
        """Write the certificate; the engine reads it at the next pull."""
        path = commands.registry_certificate(self.registry)
        execution.on(self.machine).write_file(path, certificate_file(self.certificate))


@dataclass(frozen=True, kw_only=True)
class DistrustRegistry(MachineStep):
    """Remove a registry's certificate that is not needed any more."""

    registry: str

    TODO = "stop trusting the registry {registry}"
    DONE = "no longer trusts the registry {registry}"

    def take(self, execution: Execution) -> None:
        """Remove the certificate."""
        execution.on(self.machine).run(commands.distrust_registry(self.registry))


def preparation(
    cluster: Cluster,
    machine: Machine,
    facts: MachineFacts,
    members: tuple[str, ...],
    *,
    stays: bool,
) -> tuple[Step, ...]:
    """Return the steps before a machine joins. ``stays`` is false if it leaves the cluster."""
    steps: list[Step] = []
    if not facts.has_nft:
        steps.append(InstallNftables(machine=machine))
    steps += firewall(cluster, machine, facts, members)
    if facts.engine == "missing":
        steps.append(InstallEngine(machine=machine))
    elif facts.engine == "stopped":
        steps.append(StartEngine(machine=machine))
    if stays:
        steps += _trust(cluster, machine, facts)
    return tuple(steps)


def firewall(
    cluster: Cluster,
    machine: Machine,
    facts: MachineFacts,
    members: tuple[str, ...],
    loaded_before: tuple[str, ...] | None = None,
) -> tuple[Step, ...]:
    """Return the step that loads the firewall, unless it is active or was just loaded."""
    ruleset = nftables_ruleset(cluster.firewall, members, ssh_port=facts.ssh_port)
    live = facts.firewall_digest
    if loaded_before is not None:
        live = digest(nftables_ruleset(cluster.firewall, loaded_before, ssh_port=facts.ssh_port))
    if live == digest(ruleset):
        return ()
    return (LoadFirewall(machine=machine, ruleset=ruleset, members=len(set(members))),)


def _trust(cluster: Cluster, machine: Machine, facts: MachineFacts) -> list[Step]:
    steps: list[Step] = [
        TrustRegistry(machine=machine, registry=registry, certificate=certificate)
        for registry, certificate in sorted(cluster.trusted_registries.items())
        if facts.trusted.get(registry) != certificate_checksum(certificate)
    ]
    steps += [
        DistrustRegistry(machine=machine, registry=registry)
        for registry in sorted(facts.trusted.keys() - cluster.trusted_registries.keys())
    ]
    return steps

"""Builds the commands that several steps or rooms share. Nothing here runs a command.

Secret and long values go through standard input; see `infra.remote.runner.Runner.run`.
"""

from __future__ import annotations

import shlex

from infra.firewall import TABLE_NAME
from infra.remote.script import script
from infra.swarm.facts import FIREWALL_FILE, FIREWALL_LIVE_FILE, TRUST_MARK

APT_SECONDS = 600
INSTALL_SECONDS = APT_SECONDS * 2.5
"""Time limit of an installation: package lists, packages, and waiting for the lock."""
NODE_ID = "docker info --format '{{.Swarm.NodeID}}'"

_FIREWALL = {
    "FIREWALL_FILE": FIREWALL_FILE,
    "LIVE_FILE": FIREWALL_LIVE_FILE,
    "TABLE": TABLE_NAME,
    "UNIT_FILE": "/etc/systemd/system/dairflow-firewall.service",
}
LOAD_FIREWALL = script("swarm/scripts/load_firewall.sh", **_FIREWALL)
CLEAN_MACHINE = script("swarm/scripts/clean_machine.sh", **_FIREWALL, TRUST_MARK=TRUST_MARK)

STATE_FOLDER = FIREWALL_FILE.rpartition("/")[0]
PACKAGES = {"APT_SECONDS": APT_SECONDS, "STATE_FOLDER": STATE_FOLDER}
"""Parameters of a script that installs packages."""
APT_LOCK = {"APT_LOCK": "/var/lib/apt/daily_lock", "APT_SECONDS": APT_SECONDS}
"""The lock of apt's own daily job (apt.systemd.daily), which runs first on a new machine."""


def alone(command: str) -> str:
    """Return a command that runs ``command``, a script, while no other installation runs."""
    name = command.partition("\n")[0]
    return f"{name}\n{script('swarm/scripts/alone.sh', **APT_LOCK, COMMAND=command)}"


INSTALL_NFTABLES = alone(script("swarm/scripts/install_nftables.sh", **PACKAGES))
INSTALL_ENGINE = alone(script("swarm/scripts/install_engine.sh", **PACKAGES))
INSTALL_NODE = alone(script("swarm/scripts/install_node.sh", **PACKAGES))
"""The script that a cloud machine runs at its first boot."""
START_ENGINE = alone(script("swarm/scripts/start_engine.sh"))

PURGE_SECONDS = 300
REMOVE_ENGINE = script(
    "swarm/scripts/remove_engine.sh", PURGE_SECONDS=PURGE_SECONDS, STATE_FOLDER=STATE_FOLDER
)

FORGET_SWARM = script("swarm/scripts/forget_swarm.sh")
LEAVE_SWARM = script("swarm/scripts/leave.sh")


def registry_certificate(registry: str) -> str:
    """Return the path of a registry's certificate authority; ``registry`` is ``host:port``."""
    return f"/etc/docker/certs.d/{registry}/ca.crt"


def distrust_registry(registry: str) -> str:
    """Remove a registry's certificate, and its folder if it is empty."""
    path = shlex.quote(registry_certificate(registry))
    return f"rm -f {path}; rmdir $(dirname {path}) 2> /dev/null || true"


def forget_machine(name: str, label: str) -> str:
    """Remove a machine's node from the list by its label, a manager's too, with its tasks."""
    return (
        f"nodes=$(docker node ls -q --filter {shlex.quote(f'node.label={label}={name}')})"
        ' && { [ -z "$nodes" ] || { docker node demote $nodes > /dev/null 2>&1;'
        " docker node rm --force $nodes > /dev/null; }; }"
    )

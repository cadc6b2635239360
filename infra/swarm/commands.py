"""The commands that steps are made of: text in, text out. Nothing here runs anything.

A script begins with a comment, by which errors call it.

Standard input carries what is secret or long; see `infra.remote.runner.Runner.run`.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from infra.firewall import TABLE_NAME
from infra.swarm.certificate import VALIDITY_SECONDS
from infra.swarm.facts import FIREWALL_FILE, FIREWALL_LIVE_FILE, KEPT_FOLDER, TRUST_MARK

if TYPE_CHECKING:
    from infra.swarm.steps import InitSwarm, Join, NodeChange, RecoverSwarm

SWARM_PORT = 2377
APT_SECONDS = 600
INSTALL_SECONDS = APT_SECONDS * 2.5
"""The longest that an installation takes: a list of packages, some packages, a lock before them."""
NODE_ID = "docker info --format '{{.Swarm.NodeID}}'"

_UNIT_FILE = "/etc/systemd/system/dairflow-firewall.service"
_UNIT = f"""\
[Unit]
Description=Firewall of the dairflow cluster
DefaultDependencies=no
Before=network-pre.target docker.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {FIREWALL_FILE}

[Install]
WantedBy=multi-user.target
"""

# The file is kept only after the kernel took it, so that a boot never meets a broken one.
LOAD_FIREWALL = f"""# load the firewall
set -e
umask 077
mkdir -p {FIREWALL_FILE.rpartition("/")[0]}
cat > {FIREWALL_FILE}.new
nft -f {FIREWALL_FILE}.new
mv -f {FIREWALL_FILE}.new {FIREWALL_FILE}
nft -sn list table inet {TABLE_NAME} | sha256sum > {FIREWALL_LIVE_FILE}
if [ -d /run/systemd/system ]; then
    printf %s {shlex.quote(_UNIT)} > {_UNIT_FILE}
    systemctl daemon-reload
    systemctl enable --quiet {_UNIT_FILE.rpartition("/")[2]}
fi
"""

CLEAN_MACHINE = f"""# remove the firewall and our files
set -e
if nft list table inet {TABLE_NAME} > /dev/null 2>&1; then nft delete table inet {TABLE_NAME}; fi
if [ -e {_UNIT_FILE} ]; then
    systemctl disable --quiet {_UNIT_FILE.rpartition("/")[2]}
    rm -f {_UNIT_FILE}
    systemctl daemon-reload
fi
rm -f {FIREWALL_FILE} {FIREWALL_FILE}.new {FIREWALL_LIVE_FILE}
rmdir {FIREWALL_FILE.rpartition("/")[0]} 2> /dev/null || true
grep -lsx {shlex.quote(TRUST_MARK)} /etc/docker/certs.d/*/ca.crt | while read -r file; do
    rm -f "$file"
    rmdir "${{file%/*}}" 2> /dev/null || true
done
rmdir /etc/docker/certs.d 2> /dev/null || true
"""

_APT = (
    f"timeout {APT_SECONDS} env DEBIAN_FRONTEND=noninteractive"
    " apt-get -qq -o DPkg::Lock::Timeout=120 -o APT::Keep-Downloaded-Packages=false"
)

STATE_FOLDER = FIREWALL_FILE.rpartition("/")[0]
_INSTALLED_FILE = f"{STATE_FOLDER}/installed"
"""Names the packages that were installed for the cluster, for the day when they are to go."""
_BEFORE_FILE = f"{STATE_FOLDER}/before"
_TABLES_FILE = f"{STATE_FOLDER}/tables"
"""The kernel's tables of before the engine, which makes some and leaves them behind."""

# What was there before is noted first, so that an installation that was interrupted loses nothing.
_NOTE = f"""mkdir -p {STATE_FOLDER}
packages() {{
    dpkg-query -W -f '${{binary:Package}} ${{db:Status-Status}}\n' | grep ' installed$' | sort
}}
[ -e {_BEFORE_FILE} ] || {{
    packages > {_BEFORE_FILE}.new
    mv {_BEFORE_FILE}.new {_BEFORE_FILE}
}}
"""
_KEEP_NOTE = f"""packages | comm -13 {_BEFORE_FILE} - | cut -d ' ' -f 1 >> {_INSTALLED_FILE}
rm {_BEFORE_FILE}
"""

# Where systemd does not run, Debian's package has a script for the older init. It insists on
# raising its limits, which root of a container without CAP_SYS_RESOURCE cannot.
_START = """if [ -d /run/systemd/system ]; then
    systemctl enable --quiet --now docker.service
elif ! service docker start > /dev/null 2>&1; then
    start-stop-daemon --start --oknodo --background --no-close --exec "$(command -v dockerd)" \
        --pidfile /run/docker-ssd.pid --make-pidfile -- -p /run/docker.pid \
        >> /var/log/docker.log 2>&1
fi
tries=0
until docker info > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then docker info > /dev/null; fi
    sleep 0.1
done
"""

_APT_LOCK = "/var/lib/apt/daily_lock"
"""The lock of apt's own daily job (apt.systemd.daily), which a fresh machine begins with."""


AWAIT_INSTALLATION = f"[ ! -e {_APT_LOCK} ] || flock -w {APT_SECONDS} {_APT_LOCK} true"
"""Wait until no installation runs: one goes on when the connection that began it is lost."""


def _alone(what: str, script: str) -> str:
    """Let one installation run at a time: a machine of a cloud installs by itself as it boots.

    Who comes second waits, and finds nothing left to do. The lock is no descriptor that an engine
    started by the script could inherit (``-o``).
    """
    quoted = shlex.quote(f"set -e\n{script}")
    return f"# {what}\nexec flock -o -w {APT_SECONDS} {_APT_LOCK} sh -c {quoted}\n"


_NFTABLES = f"""if ! command -v nft > /dev/null; then
{_NOTE}{_APT} update > /dev/null
{_APT} install --no-install-recommends nftables > /dev/null
{_KEEP_NOTE}fi
"""

# Debian 13 has the docker command in a package of its own; earlier ones and Ubuntu do not.
_ENGINE = f"""if ! command -v dockerd > /dev/null || ! command -v docker > /dev/null; then
{_NOTE}[ -e {_TABLES_FILE} ] || nft list tables > {_TABLES_FILE}
{_APT} update > /dev/null
cli=$(apt-cache --names-only search '^docker-cli$' | cut -d ' ' -f 1)
{_APT} install --no-install-recommends docker.io $cli iptables ca-certificates > /dev/null
{_KEEP_NOTE}fi
{_START}"""

_ECR_HELPER = f"""if ! command -v docker-credential-ecr-login > /dev/null; then
{_APT} update > /dev/null
{_APT} install --no-install-recommends amazon-ecr-credential-helper > /dev/null
fi
"""

INSTALL_NFTABLES = _alone("install nftables", _NFTABLES)
INSTALL_ENGINE = _alone("install Docker's engine", _ENGINE)
INSTALL_NODE = _alone("install nftables and Docker's engine", _NFTABLES + _ENGINE)
"""What a machine of a cloud runs at its first boot."""
INSTALL_ECR_HELPER = _alone("install Amazon's credential helper for Docker", _ECR_HELPER)
START_ENGINE = _alone("start Docker's engine", _START)

PURGE_SECONDS = 300.0

# Where another package needs one of them by now, all stay, with a word about it, and the engine
# goes on running: that is found out before anything is stopped. An engine leaves rules and devices
# behind; a table that it made goes once nobody else has rules in it.
REMOVE_ENGINE = f"""installed=$(sort -u {_INSTALLED_FILE} 2> /dev/null | tr '\n' ' ')
others=
if [ -n "$installed" ]; then
    purge=$(apt-get -s purge $installed)
    removed=$(echo "$purge" | grep -E '^(Purg|Remv) ' | cut -d ' ' -f 2 | sort)
    ours=$(printf '%s\\n' $installed | cut -d : -f 1)
    others=$(printf '%s\\n' $removed | grep -vxF "$ours" || true)
fi
if [ -n "$others" ]; then
    echo "kept, since others need them:" $installed "($others)"
elif [ -n "$installed" ]; then
    if echo " $installed " | grep -q ' docker.io '; then
        if [ -d /run/systemd/system ]; then
            systemctl disable --quiet --now docker.socket docker.service
        else
            service docker stop > /dev/null
        fi
        for family in iptables ip6tables; do
            command -v $family-save > /dev/null || continue
            $family-save | grep -v -E -e 'DOCKER( |-|$)' -e 'docker(0|_gwbridge)' | $family-restore
        done
        nft list tables | while read -r word family table; do
            if grep -qx "$word $family $table" {_TABLES_FILE}; then continue; fi
            rules=$(nft list table $family $table \\
                | grep -v -e '^#' -e '^table' -e '[{{}}]$' -e ' hook ' -e '^$' || true)
            [ -n "$rules" ] || nft delete table $family $table
        done
        for device in docker0 docker_gwbridge; do
            ip link delete $device 2> /dev/null || true
        done
    fi
    timeout {PURGE_SECONDS:.0f} env DEBIAN_FRONTEND=noninteractive apt-get -qq \
        -o DPkg::Lock::Timeout=120 purge $installed > /dev/null
    if echo " $installed " | grep -q ' docker.io '; then
        umount /run/docker/netns/* 2> /dev/null || true
        rm -rf /var/lib/docker/* /var/lib/containerd /opt/containerd /var/log/docker.log \
            /run/docker /run/docker.sock /run/containerd
        rmdir /var/lib/docker 2> /dev/null || true
        groupdel docker 2> /dev/null || true
    fi
fi
"""


def _leave(command: str) -> str:
    """Return a command that leaves; an engine that is in no swarm any more has left already."""
    return (
        f"# {command}\n{{ said=$({command} 2>&1) || case $said in"
        " *'not part of a swarm'*) ;; *) printf '%s\\n' \"$said\" >&2; false ;; esac; }"
    )


FORGET_SWARM = _leave("docker swarm leave --force")
LEAVE_SWARM = _leave("docker swarm leave")


def registry_certificate(registry: str) -> str:
    """Return where an engine looks for a registry's authority; ``registry`` is ``host:port``."""
    return f"/etc/docker/certs.d/{registry}/ca.crt"


def distrust_registry(registry: str) -> str:
    """Take a registry's certificate away, and its folder when nothing else is in it."""
    path = shlex.quote(registry_certificate(registry))
    return f"rm -f {path}; rmdir $(dirname {path}) 2> /dev/null || true"


def init_swarm(step: InitSwarm) -> str:
    """Make the swarm; prints the node's ID and the two join tokens, each on its line."""
    return (
        f"docker swarm init{_init_words(step)} --cert-expiry {_hours(VALIDITY_SECONDS)} > /dev/null"
        f" && {NODE_ID} && docker swarm join-token -q worker && docker swarm join-token -q manager"
    )


def _init_words(step: InitSwarm) -> str:
    address = step.machine.private_address
    pool = f" --default-addr-pool {step.address_pool}" if step.address_pool else ""
    return (
        f" --advertise-addr {address} --listen-addr {address}:{SWARM_PORT}"
        f" --data-path-addr {address}{pool}"
    )


def _hours(seconds: int) -> str:
    return f"{seconds // 3600}h"


def set_certificate_validity(seconds: int) -> str:
    """Let new certificates be valid for so long; nodes get theirs at their next renewal."""
    return f"docker swarm update --cert-expiry {_hours(seconds)} > /dev/null"


def recover_swarm(step: RecoverSwarm) -> str:
    """Take up the swarm that is on the manager's disk, under its ID and without other managers.

    An engine that could not take its part refuses ("not a swarm manager") until it has left. It
    leaves with its data copied aside, and they are put back then, without the engine's note of
    which swarm it is in. The copy goes once they are back, and before the swarm acts on them: one
    that is found later is of a run that was interrupted, which goes on from there.

    A manager that has expired renews its certificate a moment after it began to act; until then it
    would be taken for one that cannot.
    """
    init = f"docker swarm init --force-new-cluster{_init_words(step)} > /dev/null"
    wait = "await_certificate" if step.is_expired else "true"
    return f"""# recover the swarm from its disk
set -e
root=$(docker info --format '{{{{.DockerRootDir}}}}')
swarm=$root/swarm
kept=$root/{KEPT_FOLDER}
certificate=$swarm/certificates/swarm-node.crt
await_certificate() {{
    tries=0
    while [ "$(sha256sum < "$certificate")" = "$expired" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ]; then
            echo 'the swarm acts, but has not renewed its certificate within 60 s' >&2
            exit 1
        fi
        sleep 0.1
    done
}}
if [ ! -d "$kept" ]; then
    expired=$(sha256sum < "$certificate")
    if {init} 2>&1; then {wait}; exit 0; fi
    rm -rf "$kept.new"
    cp -a "$swarm" "$kept.new"
    rm -f "$kept.new/docker-state.json"
    sync -f "$kept.new"
    mv "$kept.new" "$kept"
fi
{FORGET_SWARM}
rm -rf "$swarm"
cp -a "$kept" "$swarm"
sync -f "$swarm"
rm -rf "$kept"
expired=$(sha256sum < "$certificate")
{init}
{wait}
"""


def join_swarm(step: Join, token: str) -> tuple[str, bytes]:
    """Return a command that joins, drained, and its standard input.

    It speaks to the engine's API (`SwarmJoin`) instead of running ``docker swarm join``, whose
    token would be among the arguments, which every user of the machine can list. Prints the HTTP
    answer, then the node's ID.
    """
    address = step.machine.private_address
    body = json.dumps(
        {
            "ListenAddr": f"{address}:{SWARM_PORT}",
            "AdvertiseAddr": address,
            "DataPathAddr": address,
            "RemoteAddrs": [f"{manager}:{SWARM_PORT}" for manager in step.managers],
            "JoinToken": token,
            "Availability": "drain",
        }
    ).encode()
    head = (
        "POST /swarm/join HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return f"docker system dial-stdio && printf '\\n' && {NODE_ID}", head.encode() + body


def joined_node_id(answer: str) -> str:
    """Return the node's ID from what `join_swarm` printed.

    Raises:
        ValueError: the engine refused; the text is the engine's own message.

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


def update_nodes(changes: tuple[NodeChange, ...], node_ids: dict[str, str]) -> str:
    """Set labels and availability, one update a node, so that the two change together."""
    return " && ".join(_update_node(change, node_ids) for change in changes)


def _update_node(change: NodeChange, node_ids: dict[str, str]) -> str:
    words = ["docker", "node", "update"]
    for key, value in sorted(change.add_labels.items()):
        words += ["--label-add", f"{key}={value}"]
    for key in change.remove_labels:
        words += ["--label-rm", key]
    if change.activate:
        words += ["--availability", "active"]
    words.append(change.node_id or node_ids[change.name])
    return f"{shlex.join(words)} > /dev/null"


def drain(node_id: str) -> str:
    """Let the swarm stop a node's tasks."""
    return f"docker node update --availability drain {node_id} > /dev/null"


def promote(node_id: str) -> str:
    """Make a node a manager."""
    return f"docker node promote {node_id} > /dev/null"


def demote(node_id: str) -> str:
    """Make a node a worker."""
    return f"docker node demote {node_id} > /dev/null"


def remove_node(node_id: str) -> str:
    """Take a node off the list, down or not; one that is gone already is no error."""
    return (
        f"docker node rm --force {node_id} > /dev/null 2>&1"
        f" || ! docker node inspect {node_id} > /dev/null 2>&1"
    )


def forget_machine(name: str, label: str) -> str:
    """Take a machine's node off the list by its label, a manager's too; its tasks go with it."""
    return (
        f"nodes=$(docker node ls -q --filter {shlex.quote(f'node.label={label}={name}')})"
        ' && { [ -z "$nodes" ] || { docker node demote $nodes > /dev/null 2>&1;'
        " docker node rm --force $nodes > /dev/null; }; }"
    )


def node_status(node_id: str) -> str:
    """Print a node's state, role and reachability."""
    return (
        "docker node inspect --format '{{.Status.State}} {{.Spec.Role}}"
        f" {{{{with .ManagerStatus}}}}{{{{.Reachability}}}}{{{{end}}}}' {node_id}"
    )


def running_tasks(node_id: str) -> str:
    """Print a node's state, then every task on it that has not ended: name and state."""
    return (
        f"docker node inspect --format '{{{{.Status.State}}}}' {node_id}"
        f" && docker node ps --no-trunc --format '{{{{.Name}}}}\t{{{{.CurrentState}}}}' {node_id}"
    )

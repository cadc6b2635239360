"""Builds the commands of steps: text in, text out. Nothing here runs a command.

A script begins with a comment, which errors use as its name.

Secret and long values go through standard input; see `infra.remote.runner.Runner.run`.
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
"""Time limit of an installation: package lists, packages, and waiting for the lock."""
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

# The file is kept only after the kernel accepts it, so that a boot never loads a broken one.
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
"""Lists the packages that were installed for the cluster, for a later removal."""
_BEFORE_FILE = f"{STATE_FOLDER}/before"
_TABLES_FILE = f"{STATE_FOLDER}/tables"
"""The kernel's tables before the engine was installed, which creates some and leaves them
behind."""

# The state before is saved first, so that an interrupted installation does not lose it.
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

# If systemd does not run, Debian's package has a script for the older init. It must raise its
# limits, which fails for root in a container without CAP_SYS_RESOURCE.
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
"""The lock of apt's own daily job (apt.systemd.daily), which runs first on a new machine."""


AWAIT_INSTALLATION = f"[ ! -e {_APT_LOCK} ] || flock -w {APT_SECONDS} {_APT_LOCK} true"
"""Wait until no installation runs: one continues if the connection that started it is lost."""


def _alone(what: str, script: str) -> str:
    """Return a script that runs one installation at a time: a cloud machine also installs at boot.

    The second one waits, and then has nothing left to do. An engine that the script starts does not
    inherit the lock's file descriptor (``-o``).
    """
    quoted = shlex.quote(f"set -e\n{script}")
    return f"# {what}\nexec flock -o -w {APT_SECONDS} {_APT_LOCK} sh -c {quoted}\n"


_NFTABLES = f"""if ! command -v nft > /dev/null; then
{_NOTE}{_APT} update > /dev/null
{_APT} install --no-install-recommends nftables > /dev/null
{_KEEP_NOTE}fi
"""

# Debian 13 has the docker command in a separate package; earlier releases and Ubuntu do not.
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
"""The script that a cloud machine runs at its first boot."""
INSTALL_ECR_HELPER = _alone("install Amazon's credential helper for Docker", _ECR_HELPER)
START_ENGINE = _alone("start Docker's engine", _START)

PURGE_SECONDS = 300.0

# If another package needs one of them, all stay, the script reports it, and the engine keeps
# running: this is checked before anything is stopped. An engine leaves rules and devices behind; a
# table that it created is removed if it has no other rules.
REMOVE_ENGINE = f"""installed=$(sort -u {_INSTALLED_FILE} 2> /dev/null | tr '\n' ' ')
others=
if [ -n "$installed" ]; then
    purge=$(apt-get -s purge $installed)
    removed=$(echo "$purge" | grep -E '^(Purg|Remv) ' | cut -d ' ' -f 2 | sort)
    ours=$(printf '%s\\n' $installed | cut -d : -f 1)
    others=$(printf '%s\\n' $removed | grep -vxF "$ours" || true)
fi
if [ -n "$others" ]; then
    echo "kept, because other packages need them:" $installed "($others)"
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
    """Return a command that leaves a swarm, and succeeds if the engine is not in a swarm."""
    return (
        f"# {command}\n{{ output=$({command} 2>&1) || case $output in"
        " *'not part of a swarm'*) ;; *) printf '%s\\n' \"$output\" >&2; false ;; esac; }"
    )


FORGET_SWARM = _leave("docker swarm leave --force")
LEAVE_SWARM = _leave("docker swarm leave")


def registry_certificate(registry: str) -> str:
    """Return the path of a registry's certificate authority; ``registry`` is ``host:port``."""
    return f"/etc/docker/certs.d/{registry}/ca.crt"


def distrust_registry(registry: str) -> str:
    """Remove a registry's certificate, and its folder if it is empty."""
    path = shlex.quote(registry_certificate(registry))
    return f"rm -f {path}; rmdir $(dirname {path}) 2> /dev/null || true"


def init_swarm(step: InitSwarm) -> str:
    """Create the swarm; prints the node's ID and the two join tokens, each on its own line."""
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
    """Set the validity of new certificates; nodes get theirs at their next renewal."""
    return f"docker swarm update --cert-expiry {_hours(seconds)} > /dev/null"


def recover_swarm(step: RecoverSwarm) -> str:
    """Restore the swarm from the manager's disk, with its ID and without other managers.

    An engine that cannot act as a manager rejects this ("not a swarm manager") until it has left.
    So its data are copied, it leaves, and the data are restored without the engine's own record of
    its swarm. The copy is removed after that and before the swarm starts: a copy that is found
    later belongs to an interrupted run, and the next run continues from it.

    An expired manager renews its certificate a moment after it starts to act; until then it would
    count as unable to act.
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
            echo 'the swarm runs, but has not renewed its certificate within 60 s' >&2
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

    It uses the engine's API (`SwarmJoin`) instead of ``docker swarm join``, which takes the token
    as an argument that every user of the machine can list. Prints the HTTP answer, then the node's
    ID.
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
    """Return the node's ID from the output of `join_swarm`.

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


def update_nodes(changes: tuple[NodeChange, ...], node_ids: dict[str, str]) -> str:
    """Set labels and availability, one update for each node, so that both change together."""
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
    """Drain a node: the swarm stops its tasks."""
    return f"docker node update --availability drain {node_id} > /dev/null"


def promote(node_id: str) -> str:
    """Promote a node to manager."""
    return f"docker node promote {node_id} > /dev/null"


def demote(node_id: str) -> str:
    """Demote a node to worker."""
    return f"docker node demote {node_id} > /dev/null"


def remove_node(node_id: str) -> str:
    """Remove a node from the list, down or not; succeeds if the node does not exist."""
    return (
        f"docker node rm --force {node_id} > /dev/null 2>&1"
        f" || ! docker node inspect {node_id} > /dev/null 2>&1"
    )


def forget_machine(name: str, label: str) -> str:
    """Remove a machine's node from the list by its label, a manager's too, with its tasks."""
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

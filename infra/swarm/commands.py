"""Builds the commands that several steps or rooms share. Nothing here runs a command.

A script begins with a comment, which errors use as its name.

Secret and long values go through standard input; see `infra.remote.runner.Runner.run`.
"""

from __future__ import annotations

import shlex

from infra.firewall import TABLE_NAME
from infra.swarm.facts import FIREWALL_FILE, FIREWALL_LIVE_FILE, TRUST_MARK

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


def forget_machine(name: str, label: str) -> str:
    """Remove a machine's node from the list by its label, a manager's too, with its tasks."""
    return (
        f"nodes=$(docker node ls -q --filter {shlex.quote(f'node.label={label}={name}')})"
        ' && { [ -z "$nodes" ] || { docker node demote $nodes > /dev/null 2>&1;'
        " docker node rm --force $nodes > /dev/null; }; }"
    )

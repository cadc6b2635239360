"""Hosts that this project did not prepare: containers of plain Debian with sshd and sudo.

No systemd, no Docker engine, no nftables. What makes a container bootable as a machine (a cgroup
for an engine, a host key, a user's key) is all that the image has on top of Debian. The line in
fstab keeps the engine's init script from mounting every cgroup hierarchy that the kernel has: with
version 1 these are the whole machine's, stay after the hosts, and break `docker stats` on it.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import docker
import docker.errors

from infra.images import project_images
from infra.machines import node_container
from infra.remote.keys import KeyPair, generate_key_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker.models.containers import Container

IMAGE = "dairflow-test/plain-host:trixie"
LABEL = "dairflow.test.plain-hosts"
USER = "admin"
"""Uses sudo without a password, signs in with a key."""
PASSWORD_USER = "ops"
"""Uses sudo with the password that it signs in with."""
PASSWORD = "correct horse battery"

DOCUMENTED = re.compile(
    r"/var/(cache|log)/|/var/lib/(apt|dpkg|sudo)/|/var/lib/systemd|/etc/(group|gshadow|passwd|shadow)-?$"
    r"|/etc/ld\.so\.cache$|/\.sudo_as_admin_successful$"
)
"""What apt, dpkg and the tools that they call keep of an installation and its removal, and sudo of
having been used."""

_EMPTY_CHAIN = re.compile(r"\tchain \w+ \{\n\t\ttype [^\n]* policy accept;\n\t\}\n\n?")

_BOOT = r"""#!/bin/sh
set -e
mount -o remount,rw /sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -o remount,rw /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/host
    while read -r pid; do
        echo "$pid" > /sys/fs/cgroup/host/cgroup.procs 2> /dev/null || true
    done < /sys/fs/cgroup/cgroup.procs
    sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers \
        > /sys/fs/cgroup/cgroup.subtree_control
    parent=/docker
else
    own=$(awk -F: '$2 ~ /(^|,)memory(,|$)/ { print $3 }' /proc/self/cgroup)
    parent=${own%/}/engine
fi
mkdir -p /etc/docker /run/sshd
echo "{\"cgroup-parent\": \"$parent\"}" > /etc/docker/daemon.json
/usr/sbin/sshd -p "$1"
while :; do sleep 3600 & wait; done
"""

_DOCKERFILE = f"""FROM dairflow/base:trixie
RUN rm -f /etc/apt/apt.conf.d/99dairflow /etc/dpkg/dpkg.cfg.d/99dairflow /usr/sbin/policy-rc.d \
    /etc/dairflow-base \
 && cd /usr/local/share/ca-certificates \
 && for file in dairflow-*.crt; do [ ! -e $file ] || mv $file site-${{file#dairflow-}}; done \
 && update-ca-certificates --fresh > /dev/null \
 && apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install \
    --no-install-recommends openssh-server sudo iproute2 procps > /dev/null \
 && apt-get clean && rm -f /etc/ssh/ssh_host_* \
 && echo 'cgroup /sys/fs/cgroup cgroup noauto 0 0' >> /etc/fstab \
 && useradd --create-home --shell /bin/bash {USER} \
 && echo '{USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{USER} \
 && useradd --create-home --shell /bin/bash --groups sudo {PASSWORD_USER} \
 && echo '{PASSWORD_USER}:{PASSWORD}' | chpasswd
COPY boot /usr/local/sbin/boot
STOPSIGNAL SIGKILL
ENTRYPOINT ["/usr/local/sbin/boot"]
CMD ["22"]
"""


@dataclass(frozen=True, kw_only=True)
class PlainHost:
    """A host as its owner sees it."""

    container: Container
    address: str
    host_key: str

    def run(self, command: str) -> str:
        """Run a command as root on its console, without SSH."""
        code, output = self.container.exec_run(["bash", "-c", command])
        assert code == 0, f"{command}: {output.decode()}"
        return output.decode()


@dataclass(kw_only=True)
class PlainHosts:
    """Makes hosts on a network of their own, and removes them."""

    client: docker.DockerClient
    name: str
    operator: KeyPair = field(default_factory=generate_key_pair)
    _network: Any = None

    def start(self, hostname: str, *, ssh_port: int = 22) -> PlainHost:
        """Boot a host; sshd answers a moment later."""
        if self._network is None:
            self._network = self.client.networks.create(
                self.name, driver="bridge", labels={LABEL: self.name}
            )
        host_key = generate_key_pair()
        name = f"{self.name}-{hostname}"
        body = node_container.create_options(
            hostname=hostname,
            network=self.name,
            address="",
            volume=name,
            ports={},
            labels={LABEL: self.name},
            cgroup_version=str(self.client.info().get("CgroupVersion", "1")),
            image=IMAGE,
        )
        body |= {"Cmd": [str(ssh_port)], "NetworkingConfig": {}}
        body["HostConfig"] |= {"Init": True, "RestartPolicy": {}}
        container = node_container.create(self.client, name, body)
        keys = {
            "etc/ssh/ssh_host_ed25519_key": (host_key.private, 0o600, 0),
            "root/.ssh/authorized_keys": (self.operator.public, 0o600, 0),
            f"home/{USER}/.ssh/authorized_keys": (self.operator.public, 0o600, 1000),
        }
        container.put_archive("/", _archive(keys))
        container.start()
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        return PlainHost(container=container, address=address, host_key=host_key.public)

    def ruleset(self, host: PlainHost) -> str:
        """List the host's packet filter with another container's nft: the host may have none.

        An empty chain that accepts everything is none: the engine's packages leave some in tables
        that were there before.
        """
        printed = self.client.containers.run(
            project_images.reference("node"),
            entrypoint=["nft", "-s", "list", "ruleset"],
            network_mode=f"container:{host.container.id}",
            cap_add=["NET_ADMIN"],
            labels={LABEL: self.name},
            tmpfs={node_container.ENGINE_FOLDER: ""},  # else a volume without a name would stay
            remove=True,
        )
        return _EMPTY_CHAIN.sub("", printed.decode())

    def snapshot(self, host: PlainHost) -> dict[str, set[str]]:
        """Return all of the host that its owner could find changed."""
        files = (
            "find /etc /home /opt /root /srv /usr/local /var -xdev -type f -exec sha256sum {} +;"
            " find /etc /home /opt /root /run /srv /usr/local /var -xdev ! -type f"
        )
        return {
            "files": set(host.run(files).splitlines()),
            "packages": set(host.run("dpkg-query -W").splitlines()),
            "groups": set(host.run("cut -d : -f 1,4 /etc/group").splitlines()),
            # No pipeline: while a program of it is loaded, it has a line of its own.
            "processes": {
                line
                for line in host.run("ps -eo args=").splitlines()
                if not line.startswith(("ps ", "bash -c", "sshd-session"))
            },
            "devices": set(host.run("ls /sys/class/net").split()),
            "mounts": set(host.run("cut -d ' ' -f 1-3 /proc/mounts").splitlines()),
            "packet filter": set(self.ruleset(host).splitlines()),
        }

    def close(self) -> None:
        """Remove everything."""
        filters = {"label": f"{LABEL}={self.name}"}
        for container in self.client.containers.list(all=True, filters=filters):
            container.remove(force=True, v=True)
            subprocess.run(
                ["docker", "volume", "rm", "-f", container.name], check=False, capture_output=True
            )
        for network in self.client.networks.list(filters=filters):
            network.remove()
        with contextlib.suppress(docker.errors.APIError):
            self.client.images.remove(IMAGE)


def differences(before: dict[str, set[str]], now: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return what is other than before, without what is documented."""
    changed = {aspect: now[aspect] ^ before[aspect] for aspect in now}
    changed["files"] = {line for line in changed["files"] if not DOCUMENTED.search(line)}
    return {aspect: lines for aspect, lines in changed.items() if lines}


def build(client: docker.DockerClient) -> None:
    """Make the hosts' image."""
    with io.BytesIO() as context:
        files = {"Dockerfile": (_DOCKERFILE, 0o644, 0), "boot": (_BOOT, 0o755, 0)}
        context.write(_archive(files))
        context.seek(0)
        client.images.build(
            fileobj=context, custom_context=True, tag=IMAGE, rm=True, labels={LABEL: "image"}
        )


def _archive(files: Mapping[str, tuple[str, int, int]]) -> bytes:
    """Return a tar archive of path → (text, mode, owner), with the folders of the keys."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (text, mode, owner) in files.items():
            folder = path.rpartition("/")[0]
            if folder.endswith(".ssh"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o700, owner, owner
                archive.addfile(entry)
            data = f"{text.rstrip()}\n".encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.uid, entry.gid = len(data), mode, owner, owner
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()

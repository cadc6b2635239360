"""Node of the local target: a container that runs sshd, nftables and its own Docker engine.

It is not ``--privileged``: Docker rejects that if root itself lacks CAP_SYS_RESOURCE, and it grants
more than is needed otherwise. Independent of Pulumi.
"""

from __future__ import annotations

import io
import tarfile
import time
from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    import docker
    from docker.models.containers import Container

ENGINE_FOLDER = "/var/lib/docker"
STOP_TIMEOUT_SECONDS = 20
"""How long `docker stop` waits for the node's own containers to end before it kills the node."""

_KEY_FILES = {
    "host_key": ("etc/ssh/ssh_host_ed25519_key", 0o600),
    "authorized_key": ("root/.ssh/authorized_keys", 0o600),
}


def container_name(stack: str, machine: str) -> str:
    """Return the name of a machine's container, and of its volume."""
    return f"dairflow-{stack}-{machine}"


def create_options(
    *,
    hostname: str,
    network: str,
    address: str,
    volume: str,
    ports: Mapping[int, tuple[str, int]],
    labels: Mapping[str, str],
    cgroup_version: str,
    image: str | None = None,
) -> dict[str, Any]:
    """Return the body of Docker's "create a container" request for a node.

    ``ports`` maps the node's TCP ports to (address, port) of this machine. On cgroup v1 an engine
    cannot use a cgroup namespace, so the node shares the host's, and its entrypoint keeps the
    engine's cgroups below the node's own; on v2 the node has its own.
    """
    private_cgroup = cgroup_version == "2"
    binds = [f"{volume}:{ENGINE_FOLDER}"]
    if not private_cgroup:
        binds.append("/sys/fs/cgroup:/sys/fs/cgroup:rw")
    return {
        "Image": image or project_images.reference("node"),
        "Hostname": hostname,
        "Labels": dict(labels),
        "StopTimeout": STOP_TIMEOUT_SECONDS,
        "ExposedPorts": {f"{port}/tcp": {} for port in ports},
        "HostConfig": {
            "CapAdd": ["ALL"],
            "CapDrop": ["SYS_RESOURCE"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            # Both empty: the command line's systempaths=unconfined.
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "CgroupnsMode": "private" if private_cgroup else "host",
            "Binds": binds,
            "Tmpfs": {"/run": "exec,mode=755"},
            "PortBindings": {
                f"{port}/tcp": [{"HostIp": host, "HostPort": str(host_port or "")}]
                for port, (host, host_port) in ports.items()
            },
            "RestartPolicy": {"Name": "unless-stopped"},
            "NetworkMode": network,
        },
        "NetworkingConfig": {
            "EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}}
        },
    }


def create(client: docker.DockerClient, name: str, body: dict[str, Any]) -> Container:
    """Create a container from the result of `create_options`, without starting it.

    An engine that lacks CAP_SYS_RESOURCE cannot grant it. Release 20.10 needs it in CapDrop; 26.1
    leaves it out of "ALL", and rejects dropping it ("invalid CapDrop: capability not supported by
    your kernel or not available in the current environment").

    Raises:
        docker.errors.APIError: if Docker rejects the request.

    """
    api: Any = client.api  # docker-py's low-level API has no types
    try:
        made = api.create_container_from_config(body, name)
    except APIError as error:
        if "invalid CapDrop" not in str(error.explanation):
            raise
        less: dict[str, Any] = {**body, "HostConfig": {**body["HostConfig"], "CapDrop": []}}
        made = api.create_container_from_config(less, name)
    return client.containers.get(made["Id"])


def start(
    client: docker.DockerClient,
    *,
    name: str,
    hostname: str,
    network: str,
    address: str,
    volume: str,
    ports: Mapping[int, tuple[str, int]],
    labels: Mapping[str, str],
    host_key: str,
    authorized_key: str,
    image: str | None = None,
) -> Container:
    """Create and start a node with its host key and the operator's public key.

    The keys are copied into the container before it starts, so that they are never in its
    environment or arguments. Returns at once: SSH answers within about a second.

    Raises:
        docker.errors.APIError: if Docker rejects a request; a container that could not start is
            removed.

    """
    body = create_options(
        hostname=hostname,
        network=network,
        address=address,
        volume=volume,
        ports=ports,
        labels=labels,
        cgroup_version=str(client.info().get("CgroupVersion", "1")),
        image=image,
    )
    container = create(client, name, body)
    api: Any = client.api
    try:
        texts = {"host_key": host_key, "authorized_key": authorized_key}
        keys = {path: (texts[key], mode) for key, (path, mode) in _KEY_FILES.items()}
        api.put_archive(container.id, "/", archive(keys))
        container.start()
    except APIError:
        container.remove(force=True)
        raise
    return container


def archive(files: Mapping[str, tuple[str, int]]) -> bytes:
    """Return a tar archive for Docker to unpack; ``files`` maps paths to texts and modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as written:
        for path, (text, mode) in files.items():
            data = (text.rstrip("\n") + "\n").encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
            written.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()

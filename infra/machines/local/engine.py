"""Manages the ``local`` target's machines with Docker's Python SDK. Independent of Pulumi.

A machine is a container (``node_container``), its ``/var/lib/docker`` is a named volume, and all of
a stack's machines share one bridge network with fixed addresses, so that a machine that was stopped
or recreated keeps its swarm membership.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import socket
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from docker.errors import NotFound
from docker.types import IPAMConfig, IPAMPool

from infra.errors import UserError
from infra.images import project_images
from infra.images.engine import Engine, check_image, engine
from infra.machines import node_container
from infra.machines.addresses import CANDIDATE_NETWORKS, LOOPBACK
from infra.machines.node_container import ENGINE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLUSTER_LABEL = "dairflow.cluster"
"""Label of every container, network and volume of a cluster: the cluster's random identity."""
OWNER_FILE = "dairflow-owner"
"""File on a machine's disk: the identity of the resource that the machine belongs to."""
NETWORK_PREFIX = 22
MIN_FREE_BYTES = 8 * 10**9
"""Three nodes unpack the Airflow image (about 0.7 GB each), and the registry has another copy."""
DELETION_SECONDS = 300.0
"""How long the deletion of a stack waits for its volumes to be deleted."""
VOLUME_SECONDS = 3.0
"""How long to wait for the removal of a machine's volume."""


class LocalError(UserError):
    """A machine or a network could not be made or removed; the message has the next step."""


Object = Any
"""A container, network or volume of the engine."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A cluster's bridge network. Addresses are IPv4; the gateway is this machine."""

    subnet: str
    gateway: str
    mtu: int


def ensure_network(
    name: str, cluster: str, published: Mapping[str, int], *, subnet: str = ""
) -> Network:
    """Check that this machine can run a cluster, and create or adopt its network.

    ``published`` maps settings to the loopback ports that the cluster will use. ``subnet`` is the
    subnet of the network before it was removed, so that its machines keep their addresses.

    Raises:
        LocalError: before anything is created, if a port is in use, the disk is full, or the name
            belongs to another cluster.
        ImageError: before anything is created, if the node image is missing.
        EngineError: see `engine`.

    """
    with engine() as client:
        network = _find_network(client, name, cluster)
        if network is None:
            check_image(client, project_images.reference("node"))
            _check_disk(client)
            for setting, port in published.items():
                _check_port(port, setting)
            network = client.networks.create(
                name,
                driver="bridge",
                labels={CLUSTER_LABEL: cluster},
                ipam=IPAMConfig(
                    pool_configs=[IPAMPool(subnet=subnet or str(_free_subnet(client)))]
                ),
            )
            network.reload()
        return _described(network.attrs)


def read_network(name: str) -> Network | None:
    """Return the network, or None if it does not exist."""
    with engine() as client:
        try:
            return _described(client.networks.get(name).attrs)
        except NotFound:
            return None


def wait_for_volumes(cluster: str, report: Callable[[str], None]) -> None:
    """Wait until Docker has deleted every volume of the cluster.

    Raises:
        LocalError: if a volume still exists after `DELETION_SECONDS`.

    """
    deadline = time.monotonic() + DELETION_SECONDS
    labels = {"label": f"{CLUSTER_LABEL}={cluster}"}
    is_reported = False
    with engine() as client:
        client.api.timeout = DELETION_SECONDS  # listing blocks while a volume is deleted
        while left := sorted(volume.name for volume in client.volumes.list(filters=labels)):
            if time.monotonic() > deadline:
                msg = (
                    f"Docker has not deleted these volumes in {DELETION_SECONDS:.0f} s:"
                    f" {', '.join(left)}.\nNext: `docker volume rm {' '.join(left)}`"
                )
                raise LocalError(msg)
            if not is_reported:
                report(f"waiting for Docker to delete the volumes {', '.join(left)}")
                is_reported = True
            time.sleep(0.5)


def remove_network(name: str) -> None:
    """Remove the network if it exists."""
    with engine() as client:
        try:
            client.networks.get(name).remove()
        except NotFound:
            return


@dataclass(frozen=True, kw_only=True)
class MachineSpec:
    """Specification of a machine. ``ports`` maps its TCP ports to loopback ports; 0: any free one.

    ``port_settings`` maps loopback ports to their settings.
    """

    container: str
    hostname: str
    cluster: str
    network: str
    private_address: str
    ports: Mapping[int, int]
    host_key: str = field(repr=False)
    host_public_key: str
    authorized_key: str
    port_settings: Mapping[int, str] = field(default_factory=dict[int, str])
    owner: str = ""
    """The identity of the resource that the machine belongs to; kept on its disk."""


def ensure_machine(spec: MachineSpec, known_ports: Mapping[int, int]) -> dict[int, int]:
    """Create, adopt or start the machine of ``spec``, and return its loopback ports.

    A container that differs from ``spec`` (other ports, another host key, a recreated network, left
    incomplete by an interrupted run) is recreated; its volume, and so its swarm membership, is
    kept. Only a container that is made gets ``authorized_key``.

    Raises:
        LocalError: if a port is in use, or the name is another cluster's.
        ImageError: if the image is missing.
        EngineError: see `engine`.

    """
    with engine() as client:
        found = _find_container(client, spec)
        ports = _chosen_ports(spec.ports, known_ports or (_published(found) if found else {}))
        if found is not None and _is(client, found, spec, ports):
            found.start()
            _note_owner(found, spec.owner)
            return ports
        check_image(client, project_images.reference("node"))
        for port in set(ports.values()) - set(_published(found).values() if found else ()):
            _check_port(port, spec.port_settings.get(port))
        _ensure_volume(client, spec)
        if found is not None:
            found.remove(force=True, v=True)
        made = node_container.start(
            client,
            name=spec.container,
            hostname=spec.hostname,
            network=spec.network,
            address=spec.private_address,
            volume=spec.container,
            ports={inner: (LOOPBACK, outer) for inner, outer in ports.items()},
            labels={CLUSTER_LABEL: spec.cluster, "dairflow.keys": _keys_mark(spec)},
            host_key=spec.host_key,
            authorized_key=spec.authorized_key,
        )
        _note_owner(made, spec.owner)
        return ports


def image_of_machine(container: str) -> str:
    """Return the name of the image that a machine's container was made from; empty without one."""
    with engine() as client:
        try:
            return str(client.containers.get(container).attrs["Config"]["Image"])
        except NotFound:
            return ""


def owner_of_machine(container: str) -> str:
    """Return the identity on a machine's disk; empty if there is none.

    If a machine's container was removed, its disk is read through a container that is never
    started.

    Raises:
        EngineError: see `engine`.

    """
    with engine() as client:
        try:
            return _owner_on_disk(client.containers.get(container))
        except NotFound:
            pass
        try:
            client.volumes.get(container)
            disk = {container: {"bind": ENGINE_FOLDER, "mode": "ro"}}
            image = project_images.reference("node")
            reader = client.containers.create(image, volumes=disk)
        except NotFound:
            return ""
        try:
            return _owner_on_disk(reader)
        finally:
            reader.remove()


def machines_in(network: str) -> list[str]:
    """Return the names of the containers in a network, running or not."""
    with engine() as client:
        found = client.containers.list(all=True, filters={"network": network})
        return sorted(container.name for container in found)


def is_running(container: str) -> bool | None:
    """Return whether the machine runs; None if it does not exist.

    A machine whose container was removed exists while its disk, the volume, exists.
    """
    with engine() as client:
        try:
            return client.containers.get(container).status == "running"
        except NotFound:
            pass
        try:
            client.volumes.get(container)
        except NotFound:
            return None
        return False


def remove_machine(container: str) -> bool:
    """Remove the container and its volume, if they exist.

    The node has left its swarm, so an orderly stop is not needed: its container is killed. Docker
    takes 5 to 20 s to delete its volume if deleting 30,000 files is slow; this waits at most
    `VOLUME_SECONDS`. Returns whether the volume is deleted by then. Otherwise a separate process
    continues, since Docker cancels a deletion when its client disconnects. Until the volume is
    deleted, Docker does not answer requests about volumes.

    Raises:
        LocalError: if Docker rejects the deletion of the volume.

    """
    with engine() as client, contextlib.suppress(NotFound):
        client.containers.get(container).remove(force=True, v=True)
    deletion = subprocess.Popen(
        ["docker", "volume", "rm", container],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, refusal = deletion.communicate(timeout=VOLUME_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    if deletion.returncode != 0 and "no such volume" not in refusal.lower():
        msg = (
            f"Docker did not delete the volume {container}: {refusal.strip()}\n"
            "Next: stop what uses it, then rerun the command."
        )
        raise LocalError(msg)
    return True


def _find_network(client: Engine, name: str, cluster: str) -> Object | None:
    try:
        network = client.networks.get(name)
    except NotFound:
        return None
    _check_owner("network", name, network.attrs.get("Labels") or {}, cluster)
    return network


def _find_container(client: Engine, spec: MachineSpec) -> Object | None:
    try:
        container = client.containers.get(spec.container)
    except NotFound:
        return None
    _check_owner("container", spec.container, container.labels, spec.cluster)
    return container


def _note_owner(container: Object, owner: str) -> None:
    """Write the owner's identity to a machine's disk."""
    if owner:
        container.put_archive(ENGINE_FOLDER, node_container.archive({OWNER_FILE: (owner, 0o600)}))


def _owner_on_disk(container: Object) -> str:
    try:
        chunks, _ = container.get_archive(f"{ENGINE_FOLDER}/{OWNER_FILE}")
    except NotFound:
        return ""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as read:
        file = read.extractfile(OWNER_FILE)
        return file.read().decode().strip() if file else ""


def _check_owner(kind: str, name: str, labels: Mapping[str, str], cluster: str) -> None:
    if labels.get(CLUSTER_LABEL) == cluster:
        return
    command = "network rm" if kind == "network" else f"{kind} rm -f"  # networks have no -f in 20.10
    msg = (
        f"the {kind} {name} exists, but this stack did not create it (another clone of the project"
        " has a stack of the same name, or the state folder was deleted).\n"
        "Run `pulumi destroy` in the clone that created it, or choose another name with `pulumi"
        f" stack init`. If nobody needs it: `docker {command} {name}`."
    )
    raise LocalError(msg)


def _described(attrs: Mapping[str, Any]) -> Network:
    config = attrs["IPAM"]["Config"][0]
    subnet = IPv4Network(config["Subnet"])
    gateway = str(config.get("Gateway") or subnet.network_address + 1).split("/")[0]
    options: dict[str, str] = attrs.get("Options") or {}
    mtu = int(options.get("com.docker.network.driver.mtu", 1500))
    return Network(subnet=str(subnet), gateway=gateway, mtu=mtu)


def _free_subnet(client: Engine) -> IPv4Network:
    configured: list[dict[str, str]] = []
    for network in client.networks.list():
        configured += network.attrs["IPAM"].get("Config") or []
    taken = [IPv4Network(c["Subnet"]) for c in configured if "." in c.get("Subnet", "")]
    for candidate in CANDIDATE_NETWORKS.subnets(new_prefix=NETWORK_PREFIX):
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    msg = (
        f"every subnet of {CANDIDATE_NETWORKS} is used by a Docker network; `docker network prune`"
        " removes the unused ones"
    )
    raise LocalError(msg)


def _check_disk(client: Engine) -> None:
    root = client.info()["DockerRootDir"]
    try:
        free = shutil.disk_usage(root).free
    except (
        OSError
    ):  # the engine is in a virtual machine (Docker Desktop), whose disk is not visible
        return
    if free < MIN_FREE_BYTES:
        msg = (
            f"{free / 1e9:.1f} GB are free under {root}; a cluster needs {MIN_FREE_BYTES / 1e9:.0f}"
            " GB. `docker system prune` removes unused data."
        )
        raise LocalError(msg)


def _check_port(port: int, setting: str | None) -> None:
    """Reject a port that another program listens on; ``setting`` is its setting, if any."""
    if port == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            another = f" or choose another: `pulumi config set {setting} {_free_port()}`"
            msg = (
                f"port {port} on {LOOPBACK} cannot be used: {error.strerror}. Stop the program that"
                f" listens there (`ss -ltnp 'sport = :{port}'` lists"
                f" it){another if setting else ''}."
            )
            raise LocalError(msg) from error


def _chosen_ports(wanted: Mapping[int, int], known: Mapping[int, int]) -> dict[int, int]:
    """Replace each 0 with the port that was chosen before, or otherwise with a free one."""
    return {inner: outer or known.get(inner) or _free_port() for inner, outer in wanted.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _published(container: Object) -> dict[int, int]:
    bindings: dict[str, Any] = container.attrs["HostConfig"].get("PortBindings") or {}
    return {
        int(inner.split("/")[0]): int(outer[0]["HostPort"])
        for inner, outer in bindings.items()
        if outer
    }


def _is(client: Engine, container: Object, spec: MachineSpec, ports: Mapping[int, int]) -> bool:
    return (
        container.status != "created"  # its keys may not have been planted yet
        and _published(container) == dict(ports)
        and container.labels.get("dairflow.keys") == _keys_mark(spec)
        and _is_attached(client, container, spec)
    )


def _is_attached(client: Engine, container: Object, spec: MachineSpec) -> bool:
    """Return whether a container has its address in the current network.

    A stopped container keeps the ID of a removed network, and cannot start with it.
    """
    networks: dict[str, dict[str, Any]] = container.attrs["NetworkSettings"]["Networks"]
    if spec.network not in networks:
        return False
    found = networks[spec.network]
    chosen: dict[str, str] = found["IPAMConfig"] or {}
    return (
        found["NetworkID"] == client.networks.get(spec.network).id
        and chosen.get("IPv4Address") == spec.private_address
    )


def _keys_mark(spec: MachineSpec) -> str:
    """Return what identifies the host key. The operator's key rotates in the running container."""
    return hashlib.sha256(spec.host_public_key.encode()).hexdigest()


def _ensure_volume(client: Engine, spec: MachineSpec) -> None:
    try:
        volume = client.volumes.get(spec.container)
    except NotFound:
        client.volumes.create(spec.container, labels={CLUSTER_LABEL: spec.cluster})
        return
    _check_owner("volume", spec.container, volume.attrs.get("Labels") or {}, spec.cluster)

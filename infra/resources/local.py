"""The ``local`` target's network and machines as Pulumi resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.images import project_images
from infra.resources.provider import GONE, OWNER, Props, Provider, is_adopted, owning, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.machines.local.engine import MachineSpec, Network


class LocalNetworkProvider(Provider):
    """A bridge network of the user's Docker engine."""

    compared = ("present",)
    replaced_by = ("network", "cluster")

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Compare; the state of an older release does not have ``present``."""
        return super().diff(_id, {"present": True, **olds}, news)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first: problems of this machine are found here."""
        from infra.machines.local import engine as local_engine

        ports = {setting: int(port) for setting, port in props["published"].items()}
        found = local_engine.ensure_network(props["network"], props["cluster"], ports)
        return CreateResult(props["network"], {**props, **_network_outs(found)})

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh; the subnet is kept even if the network does not exist."""
        from infra.machines.local import engine as local_engine

        found = local_engine.read_network(id_)
        if found is None:
            return ReadResult(id_, {**props, "present": False})
        return ReadResult(id_, {**props, **_network_outs(found), "present": True})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this if the network was removed."""
        from infra.machines.local import engine as local_engine

        found = local_engine.ensure_network(
            news["network"], news["cluster"], {}, subnet=olds["subnet"]
        )
        return UpdateResult({**news, **_network_outs(found)})

    def delete(self, id_: str, props: Props) -> None:
        """Pulumi calls this after the machines' deletion; volumes may not be deleted yet."""
        from infra.machines.local import engine as local_engine

        if used_by := local_engine.machines_in(id_):
            say(f"the network {id_} stays, because these machines are in it: {', '.join(used_by)}")
            return
        local_engine.wait_for_volumes(props["cluster"], say)
        local_engine.remove_network(id_)


class LocalNetwork(Resource, module="machines", name="LocalNetwork"):
    """The network of a stack's node containers."""

    subnet: pulumi.Output[str]
    gateway: pulumi.Output[str]
    mtu: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        network: str,
        cluster: pulumi.Input[str],
        published: Mapping[str, int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Take ``published``, loopback ports by their settings, which must be free."""
        props = {
            "network": network,
            "cluster": cluster,
            "published": dict(published),
            "present": True,
            "subnet": None,
            "gateway": None,
            "mtu": None,
        }
        super().__init__(LocalNetworkProvider(), name, props, opts)


class LocalMachineProvider(Provider):
    """A node container with its volume."""

    compared = ("ports", "private_address", "host_public_key", "running")
    replaced_by = ("container", "hostname", "network", "cluster")

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Compare; report a node whose container is older than set-up's image.

        A deployment does not make it again by itself: running tasks would end with it.
        """
        if olds.get("image") and olds["image"] != news.get("image"):
            say(
                f"{news['hostname']}: its engine is that of {olds['image']}; set-up has built"
                f" {news['image']} since. `make update-nodes` makes the nodes again"
            )
        return super().diff(_id, olds, news)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this for a new machine, or again after an interrupted run: it adopts."""
        from infra.machines.local import engine as local_engine

        props = owning(props)
        published = local_engine.ensure_machine(_spec(props), {})
        say(f"{props['hostname']}: its container runs")
        return CreateResult(props["container"], _machine_outs(props, published))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh: a stopped or removed container is drift.

        The machine does not exist if its disk, the volume, does not exist either.
        """
        from infra.machines.local import engine as local_engine

        running = local_engine.is_running(id_)
        if running is None:
            return GONE
        if is_adopted(props, local_engine.owner_of_machine(id_)):
            say(f"{props['hostname']}: belongs to another resource; `pulumi up` takes it back")
            running = False
        image = local_engine.image_of_machine(id_)
        return ReadResult(id_, {**props, "running": running, "image": image})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this if ports or the host key changed or the container does not run."""
        from infra.machines.local import engine as local_engine

        news = owning(news, olds)
        known = {int(inner): int(outer) for inner, outer in olds["published"].items()}
        published = local_engine.ensure_machine(_spec(news), known)
        say(f"{news['hostname']}: its container runs")
        return UpdateResult(_machine_outs(news, published))

    def delete(self, id_: str, props: Props) -> None:
        """Pulumi calls this after the node has left the swarm."""
        from infra.machines.local import engine as local_engine

        if is_adopted(props, local_engine.owner_of_machine(id_)):
            say(
                f"{props['hostname']}: stays with its data, because another resource has adopted it"
            )
            return
        gone = local_engine.remove_machine(id_)
        still = "" if gone else "; Docker is still deleting the volume's files"
        say(f"{props['hostname']}: its container and volume are removed{still}")


class LocalMachine(Resource, module="machines", name="LocalMachine"):
    """A machine of the ``local`` target: sshd, nftables and a Docker engine in a container."""

    published: pulumi.Output[dict[str, int]]
    """Loopback port of each of the machine's ports."""

    def __init__(
        self,
        name: str,
        *,
        container: str,
        hostname: str,
        cluster: pulumi.Input[str],
        network: pulumi.Input[str],
        private_address: pulumi.Input[str],
        ports: Mapping[int, int],
        port_settings: Mapping[int, str],
        host_key: pulumi.Input[str],
        host_public_key: pulumi.Input[str],
        authorized_key: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``ports`` maps the machine's TCP ports to loopback ports; 0 is any free one.

        A container is made with ``authorized_key``; later ones come by SSH (`OperatorAccess`).

        ``port_settings`` maps loopback ports to their settings.
        """
        props: dict[str, Any] = {
            "container": container,
            "hostname": hostname,
            "cluster": cluster,
            "network": network,
            "private_address": private_address,
            "ports": {str(inner): outer for inner, outer in ports.items()},
            "port_settings": {str(port): setting for port, setting in port_settings.items()},
            "host_key": pulumi.Output.secret(host_key),
            "host_public_key": host_public_key,
            "authorized_key": authorized_key,
            "image": project_images.reference("node"),
            "running": True,
            "published": None,
        }
        super().__init__(LocalMachineProvider(), name, props, opts)


def _spec(props: Props) -> MachineSpec:
    from infra.machines.local.engine import MachineSpec

    return MachineSpec(
        container=props["container"],
        hostname=props["hostname"],
        cluster=props["cluster"],
        network=props["network"],
        private_address=props["private_address"],
        ports={int(inner): int(outer) for inner, outer in props["ports"].items()},
        port_settings={int(port): setting for port, setting in props["port_settings"].items()},
        host_key=props["host_key"],
        host_public_key=props["host_public_key"],
        authorized_key=props["authorized_key"],
        owner=props[OWNER],
    )


def _machine_outs(props: Props, published: Mapping[int, int]) -> Props:
    from infra.machines.local import engine as local_engine

    return {
        **props,
        "image": local_engine.image_of_machine(props["container"]),
        "published": {str(inner): outer for inner, outer in published.items()},
        "running": True,
    }


def _network_outs(network: Network) -> Props:
    return {"subnet": network.subnet, "gateway": network.gateway, "mtu": network.mtu}

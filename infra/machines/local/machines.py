"""The ``local`` target: the cluster's machines are containers on this machine."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pulumi

from infra import architecture
from infra.images import registry
from infra.machines.addresses import LOOPBACK, address
from infra.machines.fleet import Fleet, Record, names
from infra.machines.node_container import container_name
from infra.ports import SSH
from infra.project import this_clone
from infra.resources.keys import SshKey
from infra.resources.local import LocalMachine, LocalNetwork
from infra.resources.operator_access import OperatorAccess
from infra.settings.secrets import OPERATOR_KEY

if TYPE_CHECKING:
    from infra.settings.model import Settings

ANY_FREE_PORT = 0


class LocalMachines(pulumi.ComponentResource):
    """A network and a container for each machine, reached over loopback ports.

    They use loopback, because container addresses cannot be reached from outside Docker Desktop's
    virtual machine.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        cluster_id: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``cluster_id`` marks every container, network and volume."""
        super().__init__("dairflow:machines:Local", name, None, opts)
        self._prefix = f"dairflow-{pulumi.get_stack()}"
        self._settings = settings
        self._cluster_id = cluster_id
        self._child = pulumi.ResourceOptions(parent=self)
        self._published = {"webPort": settings.web_port, "flowerPort": settings.flower_port}
        self._operator = SshKey(
            "operator", rotation=settings.rotations.get(OPERATOR_KEY, 0), opts=self._child
        )
        self._network = LocalNetwork(
            "network",
            network=self._prefix,
            cluster=cluster_id,
            published=self._published,
            opts=self._child,
        )
        machines = {
            machine: self._machine(machine, role, number)
            for machine, role, number in names(settings.managers, settings.workers)
        }
        self.fleet = self._fleet(machines)
        self.register_outputs({"names": list(machines)})

    def _machine(self, name: str, role: str, number: int) -> tuple[LocalMachine, Record]:
        host_key = SshKey(f"{name}-host-key", opts=self._child)
        private_address = self._network.subnet.apply(lambda subnet: address(subnet, role, number))
        machine = LocalMachine(
            name,
            container=container_name(pulumi.get_stack(), name),
            hostname=name,
            cluster=self._cluster_id,
            network=self._network.id,
            private_address=private_address,
            ports=self._ports(name),
            port_settings={port: setting for setting, port in self._published.items()},
            host_key=host_key.private_key,
            host_public_key=host_key.public_key,
            authorized_key=self._operator.public_key,
            opts=self._child,
        )
        record: Record = {
            "name": name,
            "role": role,
            "address": LOOPBACK,
            "port": machine.published.apply(lambda published: int(published[str(SSH)])),
            "user": "root",
            "host_key": host_key.public_key,
            "private_address": private_address,
            "labels": {},
        }
        return machine, record

    def _ports(self, name: str) -> dict[int, int]:
        ports = {SSH: ANY_FREE_PORT}
        if name == "manager-1":
            ports |= {
                registry.PORT: ANY_FREE_PORT,
                **{port: port for port in self._published.values()},
            }
        return ports

    def _fleet(self, machines: dict[str, tuple[LocalMachine, Record]]) -> Fleet:
        first, _ = machines["manager-1"]
        records = [pulumi.Output.from_input(record) for _, record in machines.values()]
        resources = [machine for machine, _ in machines.values()]
        access = OperatorAccess(
            "operator-access",
            machines=records,
            key=self._operator,
            connections_per_second=self._settings.connections_per_second,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(resources)),
        )
        return Fleet(
            machines=records,
            resources=resources,
            private_key=access.private_key,
            operator_cidrs=[pulumi.Output.concat(self._network.gateway, "/32")],
            push_port=first.published.apply(lambda ports: int(ports[str(registry.PORT)])),
            web_url=pulumi.Output.from_input(f"http://{LOOPBACK}:{self._settings.web_port}"),
            flower_url=pulumi.Output.from_input(f"http://{LOOPBACK}:{self._settings.flower_port}"),
            mtu=self._network.mtu,
            platform=_platform(),
            outputs={"clone": this_clone()},
        )


def _platform() -> str:
    """Return the platform of this machine's Docker engine, for which set-up built the base image.

    The engine runs on this machine's processor, in Docker Desktop's virtual machine too. Asking the
    engine would make a preview fail if it does not run.
    """
    return architecture.platform(platform.machine())

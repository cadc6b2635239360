"""The ``existing`` target: the machines are hosts that the user can already reach by SSH."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pulumi

from infra.machines.existing.settings import ACCEPT_ONCE, key_file
from infra.machines.fleet import Fleet, Record
from infra.project import STACK_NAME
from infra.remote.login import Login
from infra.resources.existing import AcceptedHostKey, ExistingHosts
from infra.swarm.release import Release

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.machines.existing.settings import Access, ExistingSettings, Host
    from infra.stack.memory import Needs

_TYPE = "dairflow:machines:Existing"


class ExistingMachines(pulumi.ComponentResource):
    """The listed hosts, checked and claimed before anything is installed on any of them."""

    def __init__(
        self,
        name: str,
        settings: ExistingSettings,
        *,
        cluster_id: pulumi.Output[str],
        needed: Needs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``cluster_id`` is written to every host; ``needed`` is what the services reserve."""
        super().__init__(_TYPE, name, None, opts)
        # The first manager is the first host; sorting keeps the list's order otherwise.
        hosts = sorted(settings.hosts, key=lambda host: host.role != "manager")
        child = pulumi.ResourceOptions(parent=self)
        rate = settings.connections_per_second
        logins = {host.name: _login(host).to_dict() for host in hosts}
        machines = [_record(host, logins[host.name], rate, child) for host in hosts]
        secret_logins = pulumi.Output.secret(logins)
        release = Release(stack=STACK_NAME, remove_engine=settings.remove_engine).to_dict()
        claimed = ExistingHosts(
            "hosts",
            machines=machines,
            logins=secret_logins,
            stack=cluster_id,
            adopt=settings.adopt,
            manager_ports=[settings.web_port, settings.flower_port],
            release=release,
            connections_per_second=rate,
            forget=_forget("hosts"),
            needed=needed.to_dict(),
            opts=child,
        )
        self.fleet = Fleet(
            machines=machines,
            resources=[claimed],
            private_key=pulumi.Output.from_input(""),
            operator_cidrs=claimed.operator_addresses.apply(
                lambda seen: operator_cidrs(seen, settings.allowed_cidrs)
            ),
            web_url=pulumi.Output.from_input(f"http://{hosts[0].address}:{settings.web_port}"),
            flower_url=pulumi.Output.from_input(
                f"http://{hosts[0].address}:{settings.flower_port}"
            ),
            mtu=claimed.mtu,
            logins=secret_logins,
            release=release,
        )
        self.register_outputs({"names": [host.name for host in hosts]})


def _forget(name: str) -> str:
    """Return the command that removes the list of hosts from the state.

    A provider does not receive its resource's URN, which consists of its type and its parent's.
    """
    kind = f"{_TYPE}$pulumi-python:dynamic/machines:ExistingHosts"
    urn = f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{kind}::{name}"
    return f"pulumi state delete --yes '{urn}'"


def operator_cidrs(seen: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Return the networks that may reach the hosts' SSH: allowed ones and the operator's address.

    An operator's address within the allowed networks adds nothing.
    """
    networks = list(allowed)
    return [
        *networks,
        *(
            f"{address}/32"
            for address in seen
            if not any(IPv4Address(address) in IPv4Network(network) for network in networks)
        ),
    ]


def _record(  # an output or plain values
    host: Host, login: dict[str, str], connections_per_second: int, opts: pulumi.ResourceOptions
) -> Any:  # noqa: ANN401
    record: Record = {
        "name": host.name,
        "role": host.role,
        "address": host.address,
        "port": host.port,
        "user": host.user,
        "host_key": host.host_key,
        "private_address": host.private_address,
        "labels": host.labels,
    }
    if host.jump:
        record["jump"] = {
            "address": host.jump.address,
            "port": host.jump.port,
            "user": host.jump.user,
            "host_key": host.jump.host_key,
        }
    if host.host_key == ACCEPT_ONCE:
        unknown = {**record, "host_key": ""}
        accepted = AcceptedHostKey(
            f"{host.name}-host-key",
            machine=unknown,
            login=login,
            connections_per_second=connections_per_second,
            opts=opts,
        )
        record["host_key"] = accepted.host_key
    return pulumi.Output.from_input(record)


def _login(host: Host) -> Login:
    jump = host.jump
    if jump and not (jump.private_key_file or jump.password):
        jump = jump.model_copy(
            update={"private_key_file": host.private_key_file, "password": host.password}
        )
    own, through = _keys(host), _keys(jump) if jump else {}
    return Login(**own, **{f"jump_{key}": value for key, value in through.items()})


def _keys(access: Access) -> dict[str, str]:
    path = key_file(access.private_key_file) if access.private_key_file else None
    return {
        "private_key": path.read_text() if path else "",
        "key_file": str(path or ""),
        "password": access.password or "",
    }

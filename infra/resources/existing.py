"""Existing hosts as Pulumi resources: accepted host keys, and the list of hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra.remote.machine import Machine
from infra.resources.provider import OWNER, Props, Provider, owning, say
from infra.resources.ssh_pool import logins_of, rate_limit_of, ssh_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.machines.existing.hosts import Site


class AcceptedHostKeyProvider(Provider):
    """Accepts the host key of the first connection; no other is accepted from then on.

    The key belongs to the host's name: with another address or port the same key is required,
    because a password may be sent to the host.
    """

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a host whose hostKey is accept-once."""
        from infra.machines.errors import HostError
        from infra.machines.existing import hosts
        from infra.remote.runner import RemoteError
        from infra.remote.ssh import shown_host_key

        machine = Machine.from_dict(props["machine"])
        login, rate_limit = logins_of(props)[machine.name], rate_limit_of(props)
        try:
            shown = shown_host_key(
                machine, login, timeout=hosts.CONNECT_SECONDS, rate_limit=rate_limit
            )
        except RemoteError as error:
            message = (
                "No host was changed.\n"
                f"{error}\n"
                f"{machine.name}'s key must be accepted once before all hosts are checked. The"
                f" other hosts are checked after {machine.name} answers, or is removed from"
                " `hosts`."
            )
            raise HostError(message) from error
        say(
            f"{machine.name}: showed the host key {shown.fingerprint}, which is accepted once; from"
            f" now on no other key is accepted for {machine.name}, even at another address or port."
            " Compare it with the host's own: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"
        )
        outs = {**props, "host_key": shown.text, "fingerprint": shown.fingerprint}
        return CreateResult(shown.fingerprint, outs)


class AcceptedHostKey(Resource, module="machines", name="AcceptedHostKey"):
    """An unverified host key, pinned in the state."""

    host_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        machine: Mapping[str, Any],
        login: Mapping[str, str],
        connections_per_second: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``machine`` is a record of ``remote.machine.Machine``, its host key empty."""
        props = {
            "machine": machine,
            "logins": pulumi.Output.secret({machine["name"]: login}),
            "connections_per_second": connections_per_second,
            "host_key": None,
            "fingerprint": None,
        }
        super().__init__(AcceptedHostKeyProvider(), name, props, opts)


class ExistingHostsProvider(Provider):
    """Rejects unsuitable hosts before any host is changed, then claims the hosts."""

    compared = ("machines", "logins", "manager_ports", "release")
    replaced_by = ("stack",)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this before anything is installed on any host."""
        return CreateResult(props["stack"], _claimed(owning(props)))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this when the list has changed; it does not connect to removed hosts."""
        return UpdateResult(_claimed(owning(news, olds)))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh: the operator may have another address now."""
        from infra.machines.existing import hosts

        with ssh_pool(props) as pool:
            seen = hosts.revisit(_machines(props), pool)
        return ReadResult(id_, props if seen is None else {**props, **_outs(seen)})

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this last, after the swarm is deleted."""
        from infra.machines.existing import hosts
        from infra.swarm.release import Release

        with ssh_pool(props) as pool:
            hosts.release_hosts(
                _machines(props),
                pool,
                say,
                stack=props["stack"],
                owner=props.get(OWNER, ""),
                release=Release.from_dict(props["release"]),
                forget=props.get("forget") or "",
            )


class ExistingHosts(Resource, module="machines", name="ExistingHosts"):
    """A list of hosts that the user can reach by SSH."""

    operator_addresses: pulumi.Output[list[str]]
    mtu: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        machines: Sequence[pulumi.Input[Mapping[str, Any]]],
        logins: pulumi.Input[Mapping[str, Any]],
        stack: pulumi.Input[str],
        adopt: bool,
        manager_ports: Sequence[int],
        release: Mapping[str, Any],
        connections_per_second: int,
        forget: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``stack`` is the stack's random identity; ``release`` is what to remove from a host.

        ``forget`` is a command that removes this resource from the state.
        """
        props = {
            "machines": list(machines),
            "logins": logins,
            "stack": stack,
            "adopt": adopt,
            "manager_ports": list(manager_ports),
            "release": release,
            "connections_per_second": connections_per_second,
            "forget": forget,
            "operator_addresses": None,
            "mtu": None,
        }
        super().__init__(ExistingHostsProvider(), name, props, opts)


def _machines(props: Props) -> list[Machine]:
    return [Machine.from_dict(record) for record in props["machines"]]


def _claimed(props: Props) -> Props:
    from infra.machines.existing import hosts
    from infra.swarm.release import Release

    machines, stack = _machines(props), props["stack"]
    with ssh_pool(props) as pool:
        found = hosts.inspect(
            machines,
            pool,
            stack=stack,
            adopt=bool(props["adopt"]),
            manager_ports=[int(port) for port in props["manager_ports"]],
        )
        hosts.reject_orphans(machines, found, pool, stack=stack)
        release = Release.from_dict(props["release"])
        hosts.claim(machines, found, pool, say, stack=stack, owner=props[OWNER], release=release)
    return {**props, **_outs(hosts.site(machines, found))}


def _outs(seen: Site) -> Props:
    return {"operator_addresses": list(seen.operator_addresses), "mtu": seen.mtu}

"""The swarm as one Pulumi resource: its nodes are bootstrapped in parallel (ADR 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi  # noqa: TC002 - Pulumi reads the types of outputs when the program runs
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult

from infra import firewall
from infra.firewall import Policy
from infra.remote.machine import Machine
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND
from infra.resources.provider import GONE, OWNER, Props, Provider, is_adopted, owning, say
from infra.resources.ssh_pool import login_inputs, owner_on, ssh_pool
from infra.swarm import join_tokens, ownership
from infra.swarm.certificate import VALIDITY_SECONDS
from infra.swarm.cluster import Cluster, ClusterState
from infra.swarm.errors import SwarmNotFoundError, SwarmUnreachableError
from infra.swarm.release import Release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KIND = "swarm"


class SwarmProvider(Provider):
    """Brings the machines into one swarm, and keeps them in the state of the settings."""

    compared = (
        "machines",
        "private_key",
        "logins",
        "firewall",
        "trusted_registries",
        "drain_timeout",
        "release",
        "revision",
        "token_rotation",
        "pending",
    )

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, or again after an interrupted run: it adopts a swarm."""
        props = owning(props)
        state = _reconcile(props)
        _rotate_tokens(props, {})
        _claim(props)
        return CreateResult(state.cluster_id, _outs(props, state))

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this before it deletes removed machines: they drain here."""
        logins: Props = {**(olds.get("logins") or {}), **(news.get("logins") or {})}
        state = _reconcile(
            {**news, "nodes": olds["nodes"]},
            logins=logins,
            leaving=_leaving(olds, news),
            cluster_id=olds["cluster_id"],
        )
        news = owning(news, olds)
        _rotate_tokens(news, olds)
        _claim(news)
        return UpdateResult(_outs(news, state))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Pulumi calls this on refresh: what `reconcile` would do shows as drift.

        An unreachable manager counts as drift too; the last known state of the swarm is kept.
        """
        from infra.swarm.observe import observe

        with ssh_pool(props) as pool:
            try:
                state = observe(_cluster(props), pool, cluster_id=props["cluster_id"])
            except SwarmNotFoundError:
                return GONE
            except SwarmUnreachableError as error:
                say(f"the state of the swarm is unknown: {error}")
                return ReadResult(id_, {**props, "pending": str(error).splitlines()})
        return ReadResult(id_, _outs(props, state))

    def delete(self, _id: str, props: Props) -> None:
        """Pulumi calls this if the machines outlive the cluster (see ``deleted_with``)."""
        from infra.swarm.dismantle import dismantle

        cluster = _cluster(props)
        with ssh_pool(props) as pool:
            if is_adopted(props, owner_on(cluster.machines, pool, KIND)):
                say("the swarm stays, because another resource has adopted it")
                return
            dismantle(cluster, pool, say, cluster_id=props["cluster_id"])


class Swarm(Resource, module="swarm", name="Swarm"):
    """A Docker swarm over machines that are reachable by SSH."""

    nodes: pulumi.Output[list[dict[str, Any]]]

    def __init__(
        self,
        name: str,
        *,
        machines: Sequence[pulumi.Input[Mapping[str, Any]]],
        private_key: pulumi.Input[str],
        firewall: pulumi.Input[Mapping[str, Any]],
        trusted_registries: pulumi.Input[Mapping[str, pulumi.Input[str]]],
        drain_timeout: int,
        connections_per_second: int = CONNECTIONS_PER_SECOND,
        logins: pulumi.Input[Mapping[str, Any]] | None = None,
        release: Mapping[str, Any] | None = None,
        token_rotation: int = 0,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``firewall`` is a ``Policy`` as plain values; ``drain_timeout`` is in seconds.

        ``release`` is for machines that remain when they leave: what to remove from them. Another
        ``token_rotation`` rotates the join tokens; 0 leaves them.
        """
        props: dict[str, Any] = {
            "name": name,
            "machines": list(machines),
            **login_inputs(private_key, logins),
            "connections_per_second": connections_per_second,
            "firewall": firewall,
            "trusted_registries": trusted_registries,
            "drain_timeout": drain_timeout,
            "revision": _revision(),
            "pending": [],
            "nodes": None,
            "cluster_id": None,
        }
        if release is not None:
            props["release"] = release
        if token_rotation:
            props["token_rotation"] = token_rotation
        super().__init__(SwarmProvider(), name, props, opts)


def _rotate_tokens(props: Props, olds: Props) -> None:
    """Rotate the join tokens if the settings have another number; nodes have joined before."""
    number = props.get("token_rotation")
    if not number or number == olds.get("token_rotation"):
        return
    with ssh_pool(props) as pool:
        join_tokens.rotate(pool.runner(Machine.from_dict(props["machines"][0])))
    say("the swarm's join tokens are rotated")


def _claim(props: Props) -> None:
    with ssh_pool(props) as pool:
        manager = Machine.from_dict(props["machines"][0])
        ownership.claim(pool.runner(manager), KIND, props[OWNER])


def _cluster(props: Props) -> Cluster:
    release: Props | None = props.get("release")
    return Cluster(
        name=props["name"],
        machines=tuple(Machine.from_dict(record) for record in props["machines"]),
        firewall=Policy.from_dict(props["firewall"]),
        trusted_registries=props["trusted_registries"],
        drain_timeout=float(props["drain_timeout"]),
        release=Release.from_dict(release) if release else None,
        former_managers=frozenset(
            node["name"] for node in props.get("nodes") or () if node["role"] == "manager"
        ),
    )


def _revision() -> str:
    """Return a revision of this release's swarm settings, so that an older swarm is updated."""
    return f"{firewall.revision()} {VALIDITY_SECONDS}"


def _reconcile(
    props: Props,
    *,
    logins: Props | None = None,
    leaving: tuple[Machine, ...] = (),
    cluster_id: str | None = None,
) -> ClusterState:
    """Reconcile; ``logins`` include those of the leaving machines."""
    from infra.swarm.reconcile import reconcile

    with ssh_pool({**props, "logins": logins or props.get("logins")}) as pool:
        return reconcile(_cluster(props), pool, say, leaving=leaving, cluster_id=cluster_id)


def _leaving(olds: Props, news: Props) -> tuple[Machine, ...]:
    staying = {record["name"] for record in news["machines"]}
    return tuple(
        Machine.from_dict(record) for record in olds["machines"] if record["name"] not in staying
    )


def _outs(props: Props, state: ClusterState) -> Props:
    plain = state.to_dict()
    return {
        **props,
        **{key: plain[key] for key in ("cluster_id", "nodes", "pending")},
    }

"""A swarm that was off for longer than its certificates are valid comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import tenacity

from infra.swarm.certificate import VALIDITY_DAYS
from infra.swarm.cluster import PRIMARY_LABEL, Cluster, ClusterState
from infra.swarm.errors import SwarmError, SwarmUnreachableError
from infra.swarm.observe import observe
from infra.swarm.reconcile import reconcile
from tests.integration.swarm_authority import NODE_CERTIFICATE, Authority

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Lab

pytestmark = pytest.mark.integration

PROBE_IMAGE = "dairflow/probe:latest"


class Site:
    """A lab's machines as one cluster, with a service that has data on the first manager."""

    def __init__(self, lab: Lab, image: bytes, *names: str) -> None:
        """Join the machines, and start the service."""
        self.lab = lab
        self.cluster = Cluster(
            name="site", machines=lab.machines(*names), firewall=lab.policy(), drain_timeout=60
        )
        self.state = self.reconcile()
        for machine in self.cluster.machines:
            lab.run(machine, f"docker import - {PROBE_IMAGE}", stdin=image)
        lab.run(
            self.cluster.managers[0],
            "echo hush | docker secret create word - > /dev/null;"
            " docker network create --driver overlay over > /dev/null;"
            " docker service create --detach=false --quiet --no-resolve-image --name data"
            " --network over --secret word --constraint node.labels.dairflow.primary==true"
            f" --mount source=kept,target=/kept {PROBE_IMAGE}"
            " sh -c 'echo once >> /kept/starts; exec sleep infinity'",
            timeout=90,
        )

    def reconcile(self, **options: str) -> ClusterState:
        """Reconcile, as ``pulumi up`` does."""
        self.lab.reports.clear()
        return reconcile(self.cluster, self.lab.pool, self.lab.report, **options)

    def docker(self, command: str) -> str:
        """Run ``docker`` on the first manager."""
        return self.lab.run(self.cluster.managers[0], f"docker {command}").strip()

    def services(self) -> list[str]:
        """Return what has to outlive the recovery: by ID."""
        return [
            self.docker("service ls --format '{{.ID}} {{.Name}}'"),
            self.docker("secret ls --format '{{.ID}} {{.Name}}'"),
            self.docker("network ls --filter driver=overlay --format '{{.ID}} {{.Name}}'"),
        ]

    def runs_again_on_its_data(self) -> bool:
        """Return whether the service has its secret and has found what it wrote before."""
        read = "docker ps -q --filter label=com.docker.swarm.service.name=data"
        look = self.lab.pool.runner(self.cluster.managers[0]).run(
            f'docker exec $({read}) sh -c \'while read -r line; do echo "$line"; done <'
            " /kept/starts; read -r word < /run/secrets/word; echo $word'",
            check=False,
        )
        return look.stdout.split() == ["once", "once", "hush"]


def until(seen: Callable[[], bool], seconds: float = 60) -> None:
    tenacity.Retrying(
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.3),
        retry=tenacity.retry_if_result(lambda result: not result),
    )(seen)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("manager-1", "worker-1"), id="one-manager"),
        pytest.param(
            ("manager-1", "manager-2", "manager-3"), id="three-managers", marks=pytest.mark.chaos
        ),
    ],
)
def test_after_its_certificates_expired_the_swarm_is_the_same_again(
    own_lab: Lab, probe_image: bytes, names: tuple[str, ...]
) -> None:
    site = Site(own_lab, probe_image, *names)
    authority = Authority(own_lab, site.cluster.machines[0], site.cluster.machines)
    before = site.services()
    authority.expire(*site.cluster.machines)

    with pytest.raises(SwarmUnreachableError, match=r"manager-1: its certificate has expired"):
        observe(site.cluster, own_lab.pool, cluster_id=site.state.cluster_id)
    state = site.reconcile(cluster_id=site.state.cluster_id)

    recovered = [line for line in own_lab.reports if "swarm recovered from its disk" in line]
    assert [line.split(":")[0] for line in recovered] == ["manager-1"]
    assert state.cluster_id == site.state.cluster_id
    primary = [n.name for n in state.nodes if n.labels.get(PRIMARY_LABEL) == "true"]
    assert primary == ["manager-1"]
    assert sorted((n.name, n.role, n.state, n.availability) for n in state.nodes) == [
        (name, name.split("-")[0], "ready", "active") for name in names
    ]
    assert site.services() == before
    until(site.runs_again_on_its_data)
    assert [authority.validity_days(m) for m in site.cluster.machines] == [
        pytest.approx(VALIDITY_DAYS, abs=1)
    ] * len(names)
    left = own_lab.run(site.cluster.machines[0], "ls /var/lib/docker")
    assert "swarm.kept" not in left.split()
    assert site.reconcile(cluster_id=state.cluster_id).pending == ()
    assert own_lab.reports == []


@pytest.mark.chaos
def test_a_recovery_that_was_interrupted_goes_on(own_lab: Lab, probe_image: bytes) -> None:
    """Even at its worst moment: the engine has left, and only the copy has the swarm."""
    site = Site(own_lab, probe_image, "manager-1")
    before = site.services()
    manager = site.cluster.machines[0]
    own_lab.run(
        manager,
        "cp -a /var/lib/docker/swarm /var/lib/docker/swarm.kept"
        " && rm /var/lib/docker/swarm.kept/docker-state.json && docker swarm leave --force",
    )
    state = site.reconcile(cluster_id=site.state.cluster_id)
    assert state.cluster_id == site.state.cluster_id
    assert site.services() == before


def test_a_manager_in_error_keeps_its_swarm(own_lab: Lab, probe_image: bytes) -> None:
    """Whatever its engine complains of: here of a certificate that it cannot read."""
    site = Site(own_lab, probe_image, "manager-1", "worker-1")
    before = site.services()
    manager = site.cluster.machines[0]
    whole = own_lab.run(manager, f"cat {NODE_CERTIFICATE}")
    own_lab.run(manager, f"mv {NODE_CERTIFICATE} /var/lib/docker/aside; : > {NODE_CERTIFICATE}")
    own_lab.restart(manager)
    for _ in range(2):
        with pytest.raises(SwarmError, match=r"manager-1 .*state error: .*\nNext: fix the error"):
            site.reconcile(cluster_id=site.state.cluster_id)
    with pytest.raises(SwarmError, match=r"manager-1 .*state error: "):
        site.reconcile()
    own_lab.run(manager, f"cat > {NODE_CERTIFICATE}", stdin=whole.encode())
    own_lab.restart(manager)
    assert site.reconcile(cluster_id=site.state.cluster_id).cluster_id == site.state.cluster_id
    assert site.services() == before


def test_a_swarm_of_before_gets_the_longer_validity_and_rotation_gives_it_to_all(
    own_lab: Lab,
) -> None:
    machines = own_lab.machines("manager-1", "worker-1")
    cluster = Cluster(name="site", machines=machines, firewall=own_lab.policy())
    reconcile(cluster, own_lab.pool, own_lab.report)
    own_lab.run(machines[0], "docker swarm update --cert-expiry 2160h")
    assert observe(cluster, own_lab.pool).pending == (
        "manager-1: set the validity of the swarm's certificates to 3650 days",
    )
    reconcile(replace(cluster), own_lab.pool, own_lab.report)
    assert observe(cluster, own_lab.pool).pending == ()
    authority = Authority(own_lab, machines[0], machines)
    assert [authority.validity_days(machine) for machine in machines] == [
        pytest.approx(VALIDITY_DAYS, abs=1)
    ] * 2

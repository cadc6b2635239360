"""The whole of Airflow as a stack on three real nodes, from the embedded registry.

The tests share one cluster and its stack, in this order: from nothing, again, an edit under load, a
broken deployment, a rotation, a removal with a deployment on its heels, and away.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra import credentials
from infra.images import engine as operators_engine
from infra.images import project_images, registry
from infra.stack.deploy import RegistryLogin, StackState, deploy, observe
from infra.stack.errors import StackError
from infra.stack.options import StackOptions
from infra.stack.remove import remove
from infra.stack.render import render
from infra.stack.rotation import deploy_rotating
from infra.stack.secrets import NAMING_KEY, RETIRED, generate
from infra.swarm.cluster import Cluster
from infra.swarm.reconcile import reconcile
from tests.visitor import Repeated, Visitor
from tools.airflow_api import Airflow, AirflowApiError, PasswordRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import docker

    from infra.remote.runner import Runner
    from infra.stack.render import RenderedStack

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
IMAGES = ("airflow", "postgres", "redis", "web")
PASSWORD = "registry-password"


class Site:
    """Three joined nodes, a registry with the images, and what it takes to deploy there."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.machines = lab.machines("manager-1", "worker-1", "worker-2")
        self.manager = self.machines[0]
        self.registry_address = f"{self.manager.private_address}:{registry.PORT}"
        certificate = credentials.registry_certificate([self.manager.private_address, "127.0.0.1"])
        reconcile(
            Cluster(
                name="stack",
                machines=self.machines,
                firewall=lab.policy(client_cidrs=(f"{lab.gateway}/32",)),
                trusted_registries={self.registry_address: certificate.authority},
            ),
            lab.pool,
            lab.report,
        )
        self._start_registry(certificate)
        self.compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
        self.options = StackOptions(
            images={name: self._push(name) for name in IMAGES},
            worker_nodes=2,
            task_grace_seconds=120,
            base_url=f"http://{self.manager.address}:8080",
            mtu=1500,
            secrets={**generate(), NAMING_KEY: "the-key-of-the-names"},
        )

    def deploy(self, options: StackOptions | None = None) -> StackState:
        wanted = options or self.options
        self.lab.reports.clear()
        return self.bring_up(render(self.compose, wanted), wanted.secrets)

    def bring_up(self, rendered: RenderedStack, secrets: Mapping[str, str]) -> StackState:
        return deploy(
            self.runner(),
            rendered,
            secrets,
            registry=RegistryLogin(
                address=self.registry_address, user=registry.user_of(PASSWORD), password=PASSWORD
            ),
            report=self.lab.report,
        )

    def runner(self, number: int = 0) -> Runner:
        return self.lab.pool.runner(self.machines[number])

    def containers(self) -> dict[str, str]:
        """The stack's containers on all nodes: name → ID."""
        lines: list[str] = []
        for machine in self.machines:
            command = "docker ps --no-trunc --format '{{.Names}} {{.ID}}' --filter name=airflow_"
            lines += self.lab.run(machine, command).splitlines()
        return dict(line.split() for line in lines)

    def airflow(self, password: str) -> Airflow:
        airflow = Airflow(url=self.options.base_url, user="admin", password=password)
        airflow.login()
        return airflow

    def _start_registry(self, certificate: credentials.Certificate) -> None:
        spec = registry.RegistrySpec(
            image=project_images.reference("registry"),
            certificate=certificate.certificate,
            private_key=certificate.private_key,
            password=PASSWORD,
        )
        registry.ensure(
            self.runner(), spec, save_image=lambda: operators_engine.archive(spec.image)
        )
        names = [project_images.reference(name) for name in IMAGES]
        container = self.lab.container_name("manager-1")
        subprocess.run(
            f"docker save {' '.join(names)} | docker exec -i {container} docker load -q",
            shell=True,
            check=True,
            timeout=300,
        )
        self.lab.run(
            self.manager,
            f"docker login -u {registry.user_of(PASSWORD)} --password-stdin"
            f" 127.0.0.1:{registry.PORT}",
            stdin=PASSWORD.encode(),
        )

    def push_edited(self, name: str) -> str:
        """Push an image as another one; return its reference."""
        image = project_images.reference(name)
        self.lab.run(
            self.manager,
            f"container=$(docker create {image})"
            f" && docker commit -c 'LABEL edited=yes' $container {image}"
            " && docker rm --volumes $container",
            timeout=300,
        )
        return self._push(name)

    def _push(self, name: str) -> str:
        local = f"127.0.0.1:{registry.PORT}/{name}"
        self.lab.run(
            self.manager,
            f"docker tag {project_images.reference(name)} {local}:test"
            f" && docker push -q {local}:test",
            timeout=300,
        )
        found = self.lab.run(
            self.manager, f"docker inspect --format '{{{{join .RepoDigests \" \"}}}}' {local}:test"
        )
        digest = found.split("@")[-1].strip()
        return f"{self.registry_address}/{name}@{digest}"


@pytest.fixture(scope="module")
def site(docker_client: docker.DockerClient, test_mark: str, lab: Any) -> Iterator[Site]:
    """Machines and a network of this file's own, made as the session's laboratory makes them."""
    own = type(lab)(docker_client, test_mark, "stack")
    yield Site(own)
    own.close()


@pytest.fixture(scope="module")
def state(site: Site) -> StackState:
    return site.deploy()


def secret_names(site: Site) -> set[str]:
    return set(site.lab.run(site.manager, "docker secret ls --format '{{.Name}}'").split())


def test_from_nothing_to_a_run_on_the_worker_nodes(site: Site, state: StackState) -> None:
    assert state.digest == render(site.compose, site.options).digest()
    assert all(service.running == service.desired for service in state.services)
    assert any("worker" in line and "/2" in line for line in site.lab.reports)

    airflow = site.airflow(site.options.secrets["admin_password"])
    airflow.wait_for_dag("cluster_check", timeout=60)
    run = airflow.trigger("cluster_check")
    assert airflow.wait_for_run("cluster_check", run, timeout=120) == "success"
    tasks = airflow.tasks("cluster_check", run)
    assert {task.hostname for task in tasks} == {"worker-1", "worker-2"}
    counted = next(task for task in tasks if task.task_id == "count")
    assert "counted" in airflow.log("cluster_check", run, counted)


def test_a_second_deployment_leaves_every_container_alone(site: Site, state: StackState) -> None:
    before = site.containers()
    assert site.deploy() == state
    assert site.containers() == before


RUN_PERIOD = 6
"""Seconds between two runs of short tasks: what two workers on a busy machine keep up with."""


def test_an_edit_loses_no_task_and_no_request(site: Site, state: StackState) -> None:
    """Tasks start and end, and the page is requested five times a second, while all is replaced.

    The database and the broker too, as after a renewal of the base image: what starts meanwhile
    waits for them, and does not stop the update. Then an edit of a DAG is taken back while runs are
    started again and again.
    """
    del state
    airflow = site.airflow(site.options.secrets["admin_password"])
    airflow.wait_for_dag("cluster_check", timeout=60)
    before = site.options
    runs = [airflow.trigger("cluster_check", {"seconds": 30})]
    others = {name: site.push_edited(name) for name in ("airflow", "postgres", "redis")}
    edited = replace(before, images={**before.images, **others})
    reverted = replace(edited, images={**edited.images, "airflow": before.images["airflow"]})
    with Visitor(f"{before.base_url}/api/v2/version") as visitor:
        site.deploy(edited)
        runs.append(airflow.trigger("cluster_check"))
        started = Repeated(lambda: runs.append(airflow.trigger("cluster_check")), RUN_PERIOD)
        with started:
            site.deploy(reverted)
    site.options = reverted
    assert visitor.failures == started.failures == []
    assert visitor.answers > 5
    assert started.answers > 5
    for run in runs:
        assert airflow.wait_for_run("cluster_check", run, timeout=180) == "success"
        assert {task.try_number for task in airflow.tasks("cluster_check", run)} == {1}


def test_no_secret_can_be_read_from_the_services(site: Site, state: StackState) -> None:
    names = " ".join(f"airflow_{service.name}" for service in state.services)
    shown = site.lab.run(site.manager, f"docker service inspect {names}")
    for value in [*site.options.secrets.values(), PASSWORD]:
        assert value not in shown


def test_no_service_has_a_privilege_or_can_change_its_programs(
    site: Site, state: StackState
) -> None:
    """As the nodes' engines have it: a swarm ignores what it does not support."""
    del state
    shown = "'{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}'"
    for machine in site.machines:
        command = f"docker inspect --format {shown} $(docker ps -q --filter name=airflow_)"
        assert set(site.lab.run(machine, command).splitlines()) == {"true [ALL] []"}, machine.name


def test_a_missing_image_is_reported_with_its_task_and_node(site: Site, state: StackState) -> None:
    del state
    missing = f"{site.registry_address}/redis@sha256:{'0' * 64}"
    broken = replace(site.options, images={**site.options.images, "redis": missing})
    with pytest.raises(StackError) as caught:
        site.deploy(broken)
    for part in ("redis.1", "manager-1", "No such image", "Next:"):
        assert part in str(caught.value)
    recovered = site.deploy()
    assert all(service.running == service.desired for service in recovered.services)


WORKER = "docker ps --quiet --filter name=airflow_worker"
CONNECTS_LOG = "$(docker volume inspect --format '{{.Mountpoint}}' airflow_logs)/connects.txt"
CONNECTS = """exec python -c '
import time
import airflow.configuration
import psycopg2
from dairflow.connections import SecretFileConnections
address = SecretFileConnections().get_conn_value("warehouse")
while True:
    try:
        psycopg2.connect(address, connect_timeout=60).close()
        print("connected", flush=True)
    except psycopg2.Error as error:
        print(" ".join(str(error).split()), flush=True)
    time.sleep(0.5)
' > /opt/airflow/logs/connects.txt"""
"""Connects to the warehouse again and again with a worker's secrets, until the worker ends."""


def test_a_rotation_is_in_force_and_fails_no_task(site: Site, state: StackState) -> None:
    """One task runs with a token of the old key, and others wait for a worker with theirs.

    A worker that finishes its tasks connects to the warehouse with its former password, except for
    the seconds in which PostgreSQL starts again.
    """
    del state
    before, previous = secret_names(site), site.options.secrets
    airflow = site.airflow(previous["admin_password"])
    airflow.set_variable("kept", "over the rotation")
    changed = {
        "admin_password": "a new 'one' \\ $",
        "redis_password": 'another "one" @/',
        "postgres_password": "the 'third' one",
        **{name: generate()[name] for name in ("fernet_key", "jwt_secret", "warehouse_password")},
    }
    retired = {former: previous[name] for name, former in RETIRED.items()}
    site.options = replace(site.options, secrets={**previous, **changed, **retired})
    runs = [airflow.trigger("cluster_check", {"seconds": 90})]
    wait_for_state(airflow, runs[0], "running", names={"count"})
    for worker in site.machines[1:]:
        site.lab.run(worker, f"docker exec -d $({WORKER}) sh -c {quote(CONNECTS)}")
    site.lab.run(site.manager, "docker service scale --detach airflow_worker=0")
    runs.append(airflow.trigger("cluster_check"))
    wait_for_state(airflow, runs[1], "queued", names={"plan", "count"})
    deploy_rotating(
        site.runner(),
        render(site.compose, site.options),
        site.options.secrets,
        previous,
        bring_up=site.bring_up,
        report=site.lab.report,
    )
    with pytest.raises(AirflowApiError, match="Invalid JWT token"):
        airflow.variable("kept")
    airflow = site.airflow(changed["admin_password"])
    assert airflow.health()["scheduler"] == "healthy"
    assert airflow.variable("kept") == "over the rotation"
    with pytest.raises(PasswordRefusedError):
        site.airflow(previous["admin_password"])
    for run in [*runs, airflow.trigger("cluster_check")]:
        assert airflow.wait_for_run("cluster_check", run, timeout=120) == "success"
        assert {task.try_number for task in airflow.tasks("cluster_check", run)} == {1}
    for worker in site.machines[1:]:
        answers = site.lab.run(worker, f"cat {CONNECTS_LOG}; rm {CONNECTS_LOG}").splitlines()
        assert "connected" in answers, answers
        assert not [one for one in answers if "authentication" in one], answers
    after = secret_names(site)
    assert len(before - after) == len(changed)
    assert len(after - before) == len(changed | retired)


def wait_for_state(airflow: Airflow, run: str, state: str, *, names: set[str]) -> None:
    """Wait until a task of the run that has one of these names is in this state."""
    for _ in range(60):
        found = {t.task_id for t in airflow.tasks("cluster_check", run) if t.state == state}
        if found & names:
            return
        time.sleep(1)
    pytest.fail(f"none of {', '.join(names)} of {run} is {state}")


def test_a_deployment_on_the_heels_of_a_removal(site: Site, state: StackState) -> None:
    """Data stays: the volumes of a stack outlive it."""
    del state
    site.lab.run(site.manager, "docker stack rm airflow")
    site.deploy()
    airflow = site.airflow(site.options.secrets["admin_password"])
    assert airflow.health()["scheduler"] == "healthy"


def test_nothing_is_left(site: Site, state: StackState) -> None:
    del state
    runners = [site.runner(number) for number in range(len(site.machines))]
    remove(runners[0], "airflow", nodes=runners, volumes=True, report=site.lab.report)
    assert observe(runners[0], "airflow") is None
    assert secret_names(site) == set()
    for machine in site.machines:
        left = site.lab.run(
            machine,
            "docker ps -aq --filter name=airflow_; docker volume ls -q --filter name=airflow_;"
            " docker network ls -q --filter name=airflow_",
        )
        assert left == ""
        mine = "docker volume ls -q --filter label=com.docker.volume.anonymous"
        used = (
            "docker ps -aq | xargs -r docker inspect --format '{{range .Mounts}}{{.Name}} {{end}}'"
        )
        kept = site.lab.run(machine, used).split()
        assert set(site.lab.run(machine, mine).split()) <= set(kept), "scratch of ended workers"
    remove(runners[0], "airflow", nodes=runners, volumes=True, report=site.lab.report)

"""The whole program against Pulumi's mocks: which resources it requests, and with which inputs."""

import json
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from infra.remote.keys import generate_key_pair
from infra.resources.existing import ExistingHostsProvider
from infra.stack.secrets import RETIRED
from tests.unit.resources.recorder import COMPUTED, Recorder, once, run_program

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run() -> Callable[..., Recorder]:
    def run_with(**settings: str) -> Recorder:
        recorder = Recorder()
        run_program(recorder, {f"dairflow:{k}": v for k, v in settings.items()})
        return recorder

    return run_with


_RUNS: dict[frozenset[tuple[str, str]], Recorder] = {}


@pytest.fixture
def run_once(run: Callable[..., Recorder]) -> Callable[..., Recorder]:
    """Run the program for a test that only reads what is made."""
    return once(run, _RUNS)


def test_the_default_is_a_manager_and_two_workers(run_once: Callable[..., Recorder]) -> None:
    machines = run_once().of_type(":LocalMachine")
    assert set(machines) == {"manager-1", "worker-1", "worker-2"}
    assert machines["worker-2"]["container"] == "dairflow-test-worker-2"
    assert machines["manager-1"]["private_address"] == "10.213.0.11"
    assert machines["worker-1"]["private_address"] == "10.213.0.111"


@pytest.mark.parametrize(
    ("processor", "built_for"),
    [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("arm64", "linux/arm64")],
)
def test_images_are_built_for_this_machines_processor(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch, processor: str, built_for: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: processor)
    images = run().of_type("docker:index/image:Image").values()
    assert {image["build"]["platform"] for image in images} == {built_for}


def test_the_target_is_kept_in_the_state(run_once: Callable[..., Recorder]) -> None:
    """Another one would put other machines in the place of these; see test_place.py."""
    assert run_once().resources["place"][1]["target"] == "local"


def test_one_more_worker_changes_no_other_machine(run_once: Callable[..., Recorder]) -> None:
    before = run_once(workers="2").of_type(":LocalMachine")
    after = run_once(workers="3").of_type(":LocalMachine")
    assert set(after) - set(before) == {"worker-3"}
    assert {name: after[name] for name in before} == before


def test_only_the_first_manager_publishes_the_pages(run_once: Callable[..., Recorder]) -> None:
    machines = run_once(managers="3", webPort="18080", flowerPort="15555").of_type(":LocalMachine")
    assert machines["manager-1"]["ports"] == {"22": 0, "5000": 0, "18080": 18080, "15555": 15555}
    assert machines["manager-2"]["ports"] == {"22": 0}
    assert machines["worker-1"]["ports"] == {"22": 0}


def test_the_pages_open_to_the_operator(run_once: Callable[..., Recorder]) -> None:
    (swarm,) = run_once().of_type(":Swarm").values()
    assert swarm["firewall"]["operator_cidrs"] == ["10.213.0.1/32"]
    assert swarm["firewall"]["client_cidrs"] == ["10.213.0.1/32"]


def test_the_rate_of_connections_is_the_settings(run_once: Callable[..., Recorder]) -> None:
    asked = run_once(connectionsPerSecond="5")
    for kind in (":Swarm", ":Registry", ":Stack"):
        (inputs,) = asked.of_type(kind).values()
        assert inputs["connections_per_second"] == 5


def test_the_stack_is_deployed_by_digest(run_once: Callable[..., Recorder]) -> None:
    (stack,) = run_once(workersPerNode="2").of_type(":Stack").values()
    services = stack["rendered"]["document"]["services"]
    images = {service["image"] for service in services.values()}
    assert all(image.startswith("10.213.0.11:5000/") for image in images)
    assert all(f"@sha256:{'0' * 64}" in image for image in images)
    assert services["worker"]["deploy"]["replicas"] == 4


def test_no_secret_value_is_in_the_document(run_once: Callable[..., Recorder]) -> None:
    (stack,) = run_once().of_type(":Stack").values()
    values = COMPUTED["pulumi-python:dynamic/keys:Secrets"]["values"].values()
    assert not [value for value in values if value in str(stack["rendered"])]


def test_the_values_before_a_rotation_reach_what_still_accepts_them(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them, the deployment after a rotation fails the tasks that run."""
    secrets = COMPUTED["pulumi-python:dynamic/keys:Secrets"]
    former = {name: f"the former {name}" for name in RETIRED.values()}
    monkeypatch.setitem(secrets, "values", {**secrets["values"], **former})
    (stack,) = run().of_type(":Stack").values()
    services = stack["rendered"]["document"]["services"]
    mounted = {
        name: {secret["target"] for secret in service.get("secrets", [])} & set(former)
        for name, service in services.items()
    }
    assert {name: files for name, files in mounted.items() if files} == {
        "api-server": {"jwt_secret_retired"},
        "scheduler": {"jwt_secret_retired"},
        "pgbouncer": {"warehouse_password_retired"},
    }
    delivered = stack["secrets"]["value"]
    assert {name: delivered.get(name) for name in former} == former


def test_other_channels_make_another_airflow_image_and_only_that(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.images.project_images.base", lambda: "dairflow/base:1")
    before = run().of_type(":Image")
    monkeypatch.setenv("CONDA_CHANNELS", "https://conda.example.com/ours")
    after = run().of_type(":Image")
    assert {name for name in before if before[name] != after[name]} == {"airflow-image"}
    assert before["airflow-image"]["imageName"] != after["airflow-image"]["imageName"]
    assert after["airflow-image"]["build"]["args"] == {
        "CONDA_CHANNELS": "https://conda.example.com/ours",
        "BASE_IMAGE": "dairflow/base:1",
    }


def test_a_renewed_base_makes_every_image_again(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.images.project_images.base", lambda: "dairflow/base:1")
    before = run().of_type(":Image")
    monkeypatch.setattr("infra.images.project_images.base", lambda: "dairflow/base:2")
    after = run().of_type(":Image")
    assert before.keys() == after.keys()
    assert all(before[name]["imageName"] != after[name]["imageName"] for name in before)


def test_a_password_for_a_build_stops_before_any_resource(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_CHANNELS", "https://me:hunter2@conda.example.com/ours")
    with pytest.raises(
        pulumi.RunError, match="CONDA_CHANNELS: the address contains a user name or password"
    ):
        run()


def test_a_password_in_a_requirement_file_stops_before_any_resource(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "images/airflow").mkdir(parents=True)
    requirements = tmp_path / "images/airflow/pip_requirements.txt"
    requirements.write_text("-i https://me:hunter2@pypi.example.com/simple\n")
    monkeypatch.setattr("infra.settings.loading.ROOT", tmp_path)
    message = r"pip_requirements\.txt:1: the address contains a user"
    with pytest.raises(pulumi.RunError, match=message):
        run()


def test_an_option_that_a_guarantee_depends_on_is_warned_of(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr("pulumi.warn", printed.append)
    run(airflowConfig='{"celery": {"task_acks_late": false}}')
    (warning,) = printed
    assert warning == (
        "airflowConfig.celery.task_acks_late: With False, the tasks of a worker that vanishes are"
        " lost."
    )


def test_a_wrong_setting_stops_before_any_resource(run: Callable[..., Recorder]) -> None:
    with pytest.raises(pulumi.RunError, match=r"managers: '2' is not valid"):
        run(managers="2")


def test_a_compose_file_that_cannot_run_stops_before_any_resource(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    broken = text.replace("  redis:\n", "  redis:\n    network_mode: host\n", 1)
    (tmp_path / "docker-compose.yaml").write_text(broken)
    monkeypatch.setattr("infra.cluster.ROOT", tmp_path)
    recorders: list[Recorder] = []
    monkeypatch.setattr(Recorder, "new_resource", lambda self, _: recorders.append(self))
    with pytest.raises(pulumi.RunError, match=r"services\.redis\.network_mode: it cannot be used"):
        run()
    assert recorders == []


def test_more_than_this_machine_has_stops_before_any_resource(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorders: list[Recorder] = []
    monkeypatch.setattr(Recorder, "new_resource", lambda self, _: recorders.append(self))
    monkeypatch.setattr("infra.machines.local.memory._docker_bytes", lambda: 8 * 1024**3)
    with pytest.raises(pulumi.RunError, match=r"this machine, which has all nodes: the services"):
        run(workers="50")
    assert recorders == []


def test_settings_reach_the_services_and_the_secrets(run_once: Callable[..., Recorder]) -> None:
    asked = run_once(
        airflowConfig='{"core": {"default_timezone": "Europe/Berlin"}}',
        memoryLimits='{"redis": "3g"}',
        taskMemory="1g",
        logRetentionDays="9",
        rotateSecrets='{"redis_password": 2}',
        fernetKey=f"{'A' * 43}=",
    )
    (stack,) = asked.of_type(":Stack").values()
    services = stack["rendered"]["document"]["services"]
    assert services["worker"]["environment"]["AIRFLOW__CORE__DEFAULT_TIMEZONE"] == "Europe/Berlin"
    assert services["worker"]["environment"]["LOG_RETENTION_DAYS"] == "9"
    limits = {name: s["deploy"]["resources"]["limits"]["memory"] for name, s in services.items()}
    assert (limits["redis"], limits["worker"]) == ("3g", "4608m")
    (secrets,) = asked.of_type(":Secrets").values()
    assert secrets["rotations"] == {"redis_password": 2}
    assert secrets["given"]["value"] == {"fernet_key": f"{'A' * 43}="}


HOSTS = [
    {
        "name": "first",
        "address": "192.0.2.2",
        "role": "worker",
        "hostKey": "accept-once",
        "password": "the-secret",
    },
    {
        "name": "head",
        "address": "192.0.2.1",
        "privateAddress": "10.0.0.1",
        "role": "manager",
        "user": "admin",
        "hostKey": generate_key_pair().public,
        "password": "the-secret",
        "jump": {"address": "192.0.2.9", "hostKey": generate_key_pair().public},
    },
]


@pytest.fixture
def existing(run_once: Callable[..., Recorder]) -> Callable[..., Recorder]:
    return lambda **more: run_once(target="existing", hosts=json.dumps(HOSTS), **more)


def test_the_listed_hosts_are_the_cluster_managers_first(
    existing: Callable[..., Recorder],
) -> None:
    asked = existing()
    assert asked.of_type(":LocalMachine") == {}
    (swarm,) = asked.of_type(":Swarm").values()
    head, first = swarm["machines"]
    assert (head["name"], head["private_address"], head["user"]) == ("head", "10.0.0.1", "admin")
    assert head["jump"]["address"] == "192.0.2.9"
    assert (first["name"], first["host_key"]) == ("first", "ssh-ed25519 SEEN")
    sealed = swarm["logins"]  # a secret, as it travels to the engine
    assert sealed["value"]["head"]["jump_password"] == "the-secret"
    (stack,) = asked.of_type(":Stack").values()
    assert stack["rendered"]["document"]["services"]["worker"]["deploy"]["replicas"] == 1


def test_the_rate_of_connections_holds_for_the_check_of_hosts_too(
    existing: Callable[..., Recorder],
) -> None:
    asked = existing(connectionsPerSecond="5")
    for kind in (":ExistingHosts", ":AcceptedHostKey"):
        (inputs,) = asked.of_type(kind).values()
        assert inputs["connections_per_second"] == 5


def test_the_hosts_are_checked_again_when_services_reserve_more(
    existing: Callable[..., Recorder],
) -> None:
    """By an input that the resource compares; see `infra.machines.existing.host_check`."""
    before, after = (
        existing(workersPerNode=number).of_type(":ExistingHosts")["hosts"] for number in "19"
    )
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"needed"}
    assert changed <= set(ExistingHostsProvider.compared)


def test_images_are_pushed_through_ssh_and_no_port_is_opened_for_it(
    existing: Callable[..., Recorder],
) -> None:
    asked = existing()
    assert asked.of_type(":PushPort") != {}
    (swarm,) = asked.of_type(":Swarm").values()
    assert swarm["firewall"]["operator_cidrs"] == ["198.51.100.7/32"]
    assert swarm["firewall"]["image_pusher_cidrs"] == []


def test_ssh_stays_open_to_the_allowed_networks(existing: Callable[..., Recorder]) -> None:
    (swarm,) = existing(allowedCidrs='["198.51.100.0/24"]').of_type(":Swarm").values()
    assert swarm["firewall"]["operator_cidrs"] == ["198.51.100.0/24"]
    assert swarm["firewall"]["client_cidrs"] == ["198.51.100.0/24"]


def test_what_is_removed_from_a_host_is_what_the_setting_lists(
    existing: Callable[..., Recorder],
) -> None:
    for asked, expected in ((existing(), False), (existing(removeEngine="true"), True)):
        for kind in (":Swarm", ":ExistingHosts"):
            (inputs,) = asked.of_type(kind).values()
            assert inputs["release"] == {"stack": "airflow", "remove_engine": expected}


def test_images_are_removed_after_the_deployment(run_once: Callable[..., Recorder]) -> None:
    (kept,) = run_once(keepReleases="7").of_type(":KeptImages").values()
    assert kept["keep"] == 7
    assert kept["owned"] == ["10.213.0.11:5000/"]
    assert {reference.partition("@")[0] for reference in kept["references"]} == {
        f"10.213.0.11:5000/{name}" for name in ("airflow", "postgres", "redis", "web")
    }


def test_an_output_has_what_the_services_offer_to_dags(
    run: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: dict[str, object] = {}

    def export(name: str, value: pulumi.Input[object]) -> None:
        pulumi.Output.from_input(value).apply(lambda known: exported.update({name: known}))

    monkeypatch.setattr(pulumi, "export", export)
    run(taskGrace="60", airflowConfig='{"operators": {"default_queue": "big"}}')
    assert exported["offers"] == {
        "queues": {"big": 60},
        "default_queue": "big",
        "connections": ["airflow_history", "warehouse"],
        "variables": [],
    }

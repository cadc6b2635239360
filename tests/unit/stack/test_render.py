"""The stack's document, rendered from the real compose file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from infra.stack import memory_settings
from infra.stack.errors import StackError
from infra.stack.mail import MailServer
from infra.stack.quantities import size_bytes
from infra.stack.render import memory_variable, render

if TYPE_CHECKING:
    from infra.stack.options import StackOptions
    from infra.stack.render import Document

Compose = dict[str, Any]

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

SERVICES = {
    "postgres",
    "backup",
    "pgbouncer",
    "redis",
    "migrate",
    "web",
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "worker",
    "log-store",
    "flower",
}


@pytest.fixture
def services(compose: Compose, options: StackOptions) -> Document:
    return render(compose, options).document["services"]


def test_every_service_of_the_laptop_is_on_the_swarm(services: Document) -> None:
    assert set(services) == SERVICES


def test_images_are_digests(services: Document) -> None:
    assert all("@sha256:" in service["image"] for service in services.values())


def test_a_tag_is_refused(compose: Compose, options: StackOptions) -> None:
    tagged = replace(options, images={**options.images, "redis": "10.0.0.1:5000/redis:latest"})
    with pytest.raises(StackError, match=r"redis.*by digest"):
        render(compose, tagged)


def test_nothing_of_the_laptop_is_left(services: Document) -> None:
    for service in services.values():
        assert not {"build", "depends_on", "restart"} & set(service)
        for mount in service.get("volumes", []):
            folder = mount["type"] == "bind" if isinstance(mount, dict) else mount[0] in "./"
            assert not folder, mount


def test_no_service_has_a_privilege_or_can_change_its_programs(services: Document) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["read_only"] is True, name


def test_what_tasks_write_is_on_disk_and_ends_with_their_worker(services: Document) -> None:
    mounts = [m for m in services["worker"]["volumes"] if isinstance(m, dict)]
    assert mounts == [{"type": "volume", "target": t} for t in ("/tmp", "/home/airflow")]  # noqa: S108


def test_no_secret_is_in_the_document(compose: Compose, options: StackOptions) -> None:
    text = render(compose, options).to_bytes(NOON).decode()
    for value in options.secrets.values():
        assert value not in text


def test_secrets_are_external_under_hashed_names(compose: Compose, options: StackOptions) -> None:
    rendered = render(compose, options)
    for logical, declared in rendered.document["secrets"].items():
        assert declared == {"external": True, "name": rendered.secrets[logical]}


def test_a_new_password_renames_its_secret_only(compose: Compose, options: StackOptions) -> None:
    before = render(compose, options).secrets
    changed = replace(options, secrets={**options.secrets, "admin_password": "another"})
    after = render(compose, changed).secrets
    assert {name for name in before if before[name] != after[name]} == {"admin_password"}


def test_a_worker_cannot_reach_the_metadata(services: Document) -> None:
    given = {secret["target"] for secret in services["worker"]["secrets"]}
    assert not given & {"postgres_password", "fernet_key", "jwt_secret", "admin_password"}


def test_the_warehouse_is_open_to_what_runs_tasks_only(services: Document) -> None:
    holders = {
        name
        for name, service in services.items()
        if "warehouse_password" in {secret["target"] for secret in service.get("secrets", [])}
    }
    assert holders == {"pgbouncer", "worker", "triggerer"}


def test_no_environment_value_looks_like_a_secret(services: Document) -> None:
    for service in services.values():
        for key in service.get("environment", {}):
            assert not key.endswith(("PASSWORD", "FERNET_KEY", "SECRET_KEY", "JWT_SECRET", "CONN"))


def test_services_have_no_virtual_address(services: Document) -> None:
    assert all(service["deploy"]["endpoint_mode"] == "dnsrr" for service in services.values())


def test_ports_are_published_on_the_node_itself(compose: Compose, options: StackOptions) -> None:
    rendered = render(compose, replace(options, web_port=8090, flower_port=5556))
    services = rendered.document["services"]
    assert services["web"]["ports"] == [
        {"target": 8080, "published": 8090, "protocol": "tcp", "mode": "host"}
    ]
    assert services["flower"]["ports"] == [
        {"target": 5555, "published": 5556, "protocol": "tcp", "mode": "host"}
    ]
    assert {name for name in services if "ports" in services[name]} == {"web", "flower"}


def test_a_port_on_the_host_is_never_taken_twice_by_an_update(services: Document) -> None:
    for service in services.values():
        if "ports" in service:
            assert service["deploy"]["update_config"]["order"] == "stop-first"


def test_an_api_server_answers_before_its_predecessor_stops(services: Document) -> None:
    assert services["api-server"]["deploy"]["update_config"]["order"] == "start-first"


def test_the_mode_of_a_service_is_that_of_the_first_release(services: Document) -> None:
    """The swarm refuses another one: "service mode change is not allowed"."""
    modes = {name for name, service in services.items() if "mode" in service["deploy"]}
    assert modes == {"api-server", "web"}


def test_a_proxy_is_not_replaced_with_a_dag(compose: Compose, options: StackOptions) -> None:
    edited = {**options.images, "airflow": options.images["airflow"].replace("ab", "cd")}
    before = render(compose, options).document["services"]
    after = render(compose, replace(options, images=edited)).document["services"]
    kept = {name for name in before if before[name] == after[name]}
    assert kept == {"web", "postgres", "backup", "pgbouncer", "redis"}


def test_a_slow_machine_is_not_a_broken_service(services: Document) -> None:
    """A start has an hour, and five minutes without an answer pass before a service is killed."""
    checks = {name: one["healthcheck"] for name, one in services.items() if "healthcheck" in one}
    assert set(checks) == SERVICES - {"migrate"}
    for check in checks.values():
        assert int(check["start_period"].rstrip("s")) >= 3_600
        assert check["retries"] * int(check["interval"].rstrip("s")) >= 300
        assert int(check["timeout"].rstrip("s")) >= 30


ABSENCE_SECONDS = 240


def test_a_task_outlives_an_absence_of_the_api_server(services: Document) -> None:
    settings = services["worker"]["environment"]
    retries = int(settings["AIRFLOW__WORKERS__EXECUTION_API_RETRIES"])
    pause = float(settings["AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN"])
    assert (retries - 1) * pause >= ABSENCE_SECONDS
    assert int(settings["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"]) >= 2
    timeout = int(
        services["scheduler"]["environment"]["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]
    )
    assert timeout >= 2 * ABSENCE_SECONDS


def test_celery_outlives_an_absence_of_redis(services: Document) -> None:
    settings = services["scheduler"]["environment"]
    extra = json.loads(settings["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    assert extra["result_backend_always_retry"] is True
    assert extra["task_publish_retry_policy"]["max_retries"] is None
    tries = int(settings["AIRFLOW__CELERY__TASK_PUBLISH_MAX_RETRIES"])
    assert tries * float(settings["AIRFLOW__CELERY__OPERATION_TIMEOUT"]) >= ABSENCE_SECONDS


@pytest.mark.parametrize(
    ("nodes", "per_node", "host_name"),
    [(1, 1, "{{.Node.Hostname}}"), (3, 2, "{{.Node.Hostname}}-{{.Task.Slot}}")],
)
def test_every_worker_node_has_its_share(
    compose: Compose, options: StackOptions, nodes: int, per_node: int, host_name: str
) -> None:
    wanted = replace(options, worker_nodes=nodes, workers_per_node=per_node)
    worker = render(compose, wanted).document["services"]["worker"]
    assert worker["deploy"]["replicas"] == nodes * per_node
    assert worker["deploy"]["placement"] == {
        "constraints": ["node.role == worker"],
        "max_replicas_per_node": per_node,
    }
    assert worker["hostname"] == host_name


@pytest.mark.parametrize(
    ("workers", "slots", "runs"),
    [((1, 1, 4), "4", "16"), ((9, 1, 4), "36", "36"), ((50, 16, 256), "204800", "204800")],
)
def test_only_the_slots_limit_how_many_tasks_run(
    compose: Compose, options: StackOptions, workers: tuple[int, int, int], slots: str, runs: str
) -> None:
    nodes, per_node, concurrency = workers
    wanted = replace(
        options, worker_nodes=nodes, workers_per_node=per_node, worker_concurrency=concurrency
    )
    services = render(compose, wanted).document["services"]
    assert services["scheduler"]["environment"]["AIRFLOW__CORE__PARALLELISM"] == slots
    of_a_dag = services["dag-processor"]["environment"]
    assert int(of_a_dag["AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG"]) >= 10_000
    assert of_a_dag["AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG"] == runs
    pool = services["migrate"]["environment"]["AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT"]
    assert pool == "-1"


def test_one_more_worker_replaces_the_scheduler_alone(
    compose: Compose, options: StackOptions
) -> None:
    """Other services, the workers above all, run on: they may have hours of work left."""
    more = replace(options, worker_nodes=options.worker_nodes + 1)
    before, after = (render(compose, one).document["services"] for one in (options, more))
    for services in (before, after):
        del services["worker"]["deploy"]
    assert {name for name in before if before[name] != after[name]} == {"scheduler"}


def test_tokens_outlive_what_they_are_for(services: Document) -> None:
    """A message outlives the longest grace, its token outlives that, and a heartbeat is in time."""
    longest_grace = 604_800
    environment = services["scheduler"]["environment"]
    redelivered = int(environment["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"])
    assert redelivered > 2 * longest_grace
    assert int(environment["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"]) > 2 * redelivered
    # Airflow renews a running task's token in the last fifth of its life, at a heartbeat.
    renewal = int(environment["AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"]) // 5
    heartbeat = 5
    assert renewal > 2 * heartbeat * int(environment["AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS"])


def test_each_manager_keeps_a_copy_of_the_logs_that_workers_and_triggerers_send(
    compose: Compose, options: StackOptions
) -> None:
    services = render(compose, replace(options, managers=3)).document["services"]
    deploy = services["log-store"]["deploy"]
    assert deploy["replicas"] == 3
    assert deploy["placement"]["max_replicas_per_node"] == 1
    kept = services["log-store"]["volumes"][0]
    for name in ("worker", "triggerer", "api-server"):
        assert services[name]["environment"]["LOG_STORE"] == "log-store"
        assert services[name]["volumes"][0] == kept


def test_only_workers_run_on_worker_nodes(services: Document) -> None:
    primary = {"postgres", "backup", "pgbouncer", "redis", "flower"}
    for name, service in services.items():
        constraints = service["deploy"]["placement"]["constraints"]
        if name in primary:
            assert constraints == ["node.labels.dairflow.primary == true"]
        else:
            assert constraints == [f"node.role == {'worker' if name == 'worker' else 'manager'}"]


def test_a_worker_and_its_successor_serve_the_same_logs(services: Document) -> None:
    """Both have their node's name for as long as the first one finishes its tasks."""
    assert services["worker"]["hostname"] == "{{.Node.Hostname}}"
    assert "logs:/opt/airflow/logs" in services["worker"]["volumes"]


def test_a_worker_gets_the_grace_that_the_user_allows(services: Document) -> None:
    assert services["worker"]["stop_grace_period"] == "900s"


def test_the_migration_ends(services: Document) -> None:
    assert services["migrate"]["deploy"]["restart_policy"]["condition"] == "on-failure"


def test_the_network_leaves_room_for_its_own_headers(
    compose: Compose, options: StackOptions
) -> None:
    network = render(compose, replace(options, mtu=1400)).document["networks"]["default"]
    assert network == {
        "driver": "overlay",
        "driver_opts": {"com.docker.network.driver.mtu": "1350"},
        "ipam": {"config": [{"subnet": "10.192.0.0/20"}]},
    }


def test_parallel_queries_have_memory_to_share(services: Document) -> None:
    """Swarm ignores ``shm_size``, and a container has 64 MB of /dev/shm without it."""
    assert {"type": "tmpfs", "target": "/dev/shm"} in services["postgres"]["volumes"]  # noqa: S108


def test_the_network_needs_an_address_for_each_task_and_those_that_are_replaced(
    compose: Compose, options: StackOptions
) -> None:
    rendered = render(compose, replace(options, managers=3, worker_nodes=50, workers_per_node=16))
    services = rendered.document["services"].values()
    tasks = sum(service["deploy"].get("replicas", 1) for service in services)
    assert rendered.addresses > tasks + 400 + 53  # half of the workers are replaced at a time
    assert "800 for Celery workers" in rendered.demand


def test_rendering_is_repeatable_and_leaves_its_input_alone(
    compose: Compose, options: StackOptions
) -> None:
    before = json.dumps(compose)
    assert render(compose, options) == render(compose, options)
    assert render(compose, options).digest() == render(compose, options).digest()
    assert json.dumps(compose) == before


def test_the_digest_changes_with_what_is_deployed(compose: Compose, options: StackOptions) -> None:
    changed = replace(options, worker_concurrency=options.worker_concurrency + 1)
    assert render(compose, options).digest() != render(compose, changed).digest()


def test_every_service_carries_the_digest_and_the_time(
    compose: Compose, options: StackOptions
) -> None:
    rendered = render(compose, options)
    for name, service in json.loads(rendered.to_bytes(NOON))["services"].items():
        assert service["deploy"]["labels"] == {
            "dairflow.digest": rendered.digest(),
            "dairflow.deployed": "2026-11-23T12:00:00+00:00",
            **({"dairflow.worker": "true"} if name == "worker" else {}),
        }


def test_a_dollar_reaches_the_container(compose: Compose, options: StackOptions) -> None:
    compose["services"]["flower"]["environment"] = {"PRICE": "5 $$"}
    flower = render(compose, options).document["services"]["flower"]
    assert flower["environment"]["PRICE"] == "5 $$"  # docker stack deploy makes one of two


def test_a_default_may_have_a_variable_in_it(compose: Compose, options: StackOptions) -> None:
    compose["services"]["flower"]["environment"] = {
        "X": "${OTHER:-http://h:${DAIRFLOW_WEB_PORT:-1}/${NONE:-x}}"
    }
    flower = render(compose, replace(options, web_port=8090)).document["services"]["flower"]
    assert flower["environment"]["X"] == "http://h:8090/x"


@pytest.mark.parametrize("text", ["${UNKNOWN}", "${A:-${UNKNOWN}}", "${NAME:?message}", "$NAME"])
def test_a_variable_that_cannot_be_filled_is_named(
    compose: Compose, options: StackOptions, text: str
) -> None:
    compose["services"]["flower"]["environment"] = {"X": text}
    with pytest.raises(StackError, match=r"\$"):
        render(compose, options)


@pytest.mark.parametrize("value", ["", "two\nlines"])
def test_a_secret_that_cannot_be_delivered_is_named_not_shown(
    compose: Compose, options: StackOptions, value: str
) -> None:
    broken = replace(options, secrets={**options.secrets, "redis_password": value})
    with pytest.raises(StackError, match="redis_password") as caught:
        render(compose, broken)
    assert "two" not in str(caught.value)


def test_every_log_is_bounded(services: Document) -> None:
    for service in services.values():
        assert service["logging"] == {
            "driver": "json-file",
            "options": {"max-size": "10m", "max-file": "3"},
        }
    for name in ("worker", "triggerer", "api-server"):
        assert "logs:/opt/airflow/logs" in services[name]["volumes"]
    parser = services["dag-processor"]["environment"]
    assert parser["AIRFLOW__LOGGING__DAG_PROCESSOR_LOG_TARGET"] == "stdout"


def test_logs_are_kept_as_long_as_the_user_sets(compose: Compose, options: StackOptions) -> None:
    services = render(compose, replace(options, log_retention_days=7)).document["services"]
    assert services["worker"]["environment"]["LOG_RETENTION_DAYS"] == "7"


def test_every_service_has_a_memory_limit_and_a_reservation_below_it(services: Document) -> None:
    for name, service in services.items():
        resources = service["deploy"]["resources"]
        limit = size_bytes(resources["limits"]["memory"])
        assert limit, name
        if name == "migrate":  # it runs beside the others for a moment
            continue
        reserved = size_bytes(resources["reservations"]["memory"])
        assert reserved
        assert reserved <= limit / 2, name


def test_what_is_reserved_fits_the_smallest_machine(services: Document) -> None:
    """6 GB for a manager and two workers, all on one machine."""
    reserved = {
        name: size_bytes(service["deploy"]["resources"].get("reservations", {}).get("memory", 0))
        for name, service in services.items()
    }
    total = sum(size or 0 for size in reserved.values()) + (reserved["worker"] or 0)
    assert total < 2 * 1_024**3


def test_the_users_limits_are_the_swarms(compose: Compose, options: StackOptions) -> None:
    limits = {"worker": "8704m", "api-server": "3g"}
    services = render(compose, replace(options, memory_limits=limits)).document["services"]
    given = {name: s["deploy"]["resources"]["limits"]["memory"] for name, s in services.items()}
    assert given == {**given, **limits}


def test_every_limit_can_be_set(compose: Compose) -> None:
    for name in SERVICES:
        limit = compose["services"][name]["deploy"]["resources"]["limits"]["memory"]
        assert limit.startswith(f"${{{memory_variable(name)}:-"), name
    assert set(memory_settings.SERVICES) | {"worker"} == SERVICES


def test_options_of_airflows_reach_all_of_its_services_and_no_other(
    compose: Compose, options: StackOptions
) -> None:
    given = replace(
        options,
        airflow_variables={"AIRFLOW__API__WORKERS": "3"},
        airflow_secrets={"AIRFLOW__SENTRY__SENTRY_DSN": "hunter2"},
    )
    rendered = render(compose, given)
    secret = "airflow__sentry__sentry_dsn"
    for name, service in rendered.document["services"].items():
        environment = service.get("environment", {})
        mounted = {entry["target"] for entry in service.get("secrets", [])}
        if name in {"postgres", "backup", "pgbouncer", "redis", "web", "log-store", "flower"}:
            assert "AIRFLOW__API__WORKERS" not in environment
            assert secret not in mounted
        else:
            assert environment["AIRFLOW__API__WORKERS"] == "3"
            assert environment["AIRFLOW__SENTRY__SENTRY_DSN_CMD"] == f"cat /run/secrets/{secret}"
            assert secret in mounted
    assert rendered.document["secrets"][secret]["name"] == rendered.secrets[secret]
    assert "hunter2" not in str(rendered)


def test_the_users_celery_configuration_is_added_to_the_projects(
    compose: Compose, options: StackOptions
) -> None:
    variable = "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"
    given = replace(options, airflow_variables={variable: '{"worker_max_tasks_per_child": 10}'})
    before = render(compose, options).document["services"]["worker"]["environment"][variable]
    after = render(compose, given).document["services"]["worker"]["environment"][variable]
    assert json.loads(after) == {**json.loads(before), "worker_max_tasks_per_child": 10}
    compose["services"]["worker"]["environment"] = {variable: "nothing"}
    with pytest.raises(StackError, match="it has to be a JSON object"):
        render(compose, given)


def test_airflow_masks_secrets_that_are_outside_of_their_folder(
    compose: Compose, options: StackOptions
) -> None:
    compose["secrets"]["token"] = {"external": True}
    compose["secrets"]["key"] = {"external": True}
    references = ["token", {"source": "key", "target": "/etc/ours/key"}]
    compose["services"]["worker"]["secrets"].extend(references)
    services = render(compose, options).document["services"]
    assert services["worker"]["environment"]["SECRET_FILES"] == "/etc/ours/key"
    assert "SECRET_FILES" not in services["scheduler"]["environment"]


def test_a_mail_server_is_a_connection_of_the_services_that_send(
    compose: Compose, options: StackOptions
) -> None:
    """A worker gets the connection from the API server: a task cannot read the password."""
    mail = MailServer(host="smtp.test", port=587, tls="starttls", sender="a@b.c", authority="CA")
    rendered = render(compose, replace(options, mail=mail)).document
    has = {
        name: {secret["source"] for secret in service.get("secrets", [])} & set(mail.secrets)
        for name, service in rendered["services"].items()
    }
    assert {name for name, files in has.items() if files} == {
        "api-server", "dag-processor", "triggerer", "worker",
    }  # fmt: skip
    assert has["worker"] == {"smtp_ca"}
    assert has["api-server"] == {"smtp_ca", "smtp_default"}
    assert set(mail.secrets) <= set(rendered["secrets"])
    environment = rendered["services"]["worker"]["environment"]
    assert environment["AIRFLOW__EMAIL__FROM_EMAIL"] == "a@b.c"

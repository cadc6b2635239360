"""The main job with the real command line, in the order in which a user's days go.

The tests share one cluster and run from top to bottom: nothing → a cluster → a change → a failure
→ nothing.
"""

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import docker
import pytest
import requests
from browser import chromium, painted, picture
from project import FLOWER_PORT, STACK, WEB_PORT, Project, inventory
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.wait import WebDriverWait

from tests.visitor import Visitor
from tools.airflow_api import AirflowApiError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

DAG = "cluster_check"
PAGE_TIMEOUT_SECONDS = 60
LONG_TASK_SECONDS = 60


def wait_until(condition: Callable[[], Any], timeout: float, what: str) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.5)
    return found


def end_at(project: Project, text: str, number: signal.Signals, *arguments: str) -> None:
    """Run pulumi until it prints ``text``, send it a signal, and wait for its end."""
    running = project.start(*arguments)
    assert running.stdout is not None
    seen = []
    for line in running.stdout:
        seen.append(line)
        if text in line:
            break
    assert running.poll() is None, f"it ended before it printed {text!r}:\n{''.join(seen)}"
    running.send_signal(number)
    running.communicate(timeout=300)


def container_ids(engine: docker.DockerClient) -> dict[str, str]:
    found = engine.containers.list(filters={"name": f"dairflow-{STACK}-"})
    return {container.name.removeprefix(f"dairflow-{STACK}-"): container.id for container in found}


def run_dag(project: Project, **conf: int) -> list[Any]:
    airflow = project.airflow()
    airflow.wait_for_dag(DAG, 90)
    run = airflow.trigger(DAG, conf)
    try:
        assert airflow.wait_for_run(DAG, run, 300) == "success"
    except AirflowApiError as error:
        pytest.fail(f"{error}\n{project.service_logs('scheduler', 'worker')}")
    return airflow.tasks(DAG, run)


def test_a_port_in_use_is_reported_before_anything_is_made(
    project: Project, engine: docker.DockerClient, before: dict[str, set[str]]
) -> None:
    import socket

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", WEB_PORT))
        other.listen()
        printed = project.pulumi("up", "--yes", "--skip-preview", check=False)
    assert f"port {WEB_PORT} on 127.0.0.1 cannot be used: Address already in use" in printed
    assert "pulumi config set webPort" in printed
    assert "Traceback" not in printed
    assert inventory(engine) == before


def test_wrong_settings_are_reported_together_at_preview(
    project: Project, engine: docker.DockerClient, before: dict[str, set[str]]
) -> None:
    project.set("workers", 0)
    project.set("managers", 2)
    printed = project.pulumi("preview", check=False)
    project.set("workers", 2)
    project.set("managers", 1)
    assert "workers: '0' is not valid. Use 1 or more" in printed
    assert "managers: '2' is not valid. Use an odd number" in printed
    assert "Traceback" not in printed
    assert inventory(engine) == before


def test_a_wrong_passphrase_is_one_message(project: Project) -> None:
    printed = project.pulumi("preview", check=False, PULUMI_CONFIG_PASSPHRASE="wrong")
    assert "incorrect passphrase" in printed


def test_killed_in_the_middle_it_goes_on_with_the_next_up(
    project: Project, engine: docker.DockerClient
) -> None:
    """``kill -9`` while the nodes are being joined; then up makes the whole cluster."""
    end_at(project, "firewall loaded", signal.SIGKILL, "up", "--yes", "--skip-preview")
    printed = project.pulumi("up", "--yes", "--skip-preview", check=False)
    assert "pulumi cancel" in printed
    project.pulumi("cancel", "--yes")
    assert "pending operations" in project.up()
    assert sorted(container_ids(engine)) == ["manager-1", "worker-1", "worker-2"]
    project.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    assert "pending operations" not in project.up()


def test_the_nodes_are_one_swarm(project: Project) -> None:
    assert project.nodes() == dict.fromkeys(("manager-1", "worker-1", "worker-2"), "Ready")


def test_a_second_up_changes_nothing_also_after_a_refresh(project: Project) -> None:
    project.expect_no_changes()
    project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    project.expect_no_changes()


def test_a_dag_runs_on_the_worker_nodes(project: Project) -> None:
    tasks = run_dag(project)
    hosts = {task.hostname for task in tasks}
    assert {task.state for task in tasks} == {"success"}
    assert hosts == {"worker-1", "worker-2"}


def test_the_other_examples_run_too(project: Project) -> None:
    airflow = project.airflow()
    assert airflow.import_errors() == []
    by_hand = {
        "orders_etl": {},
        "file_totals": {},
        "tidy_logs": {"load": 1000},
        "machine_measure": {},
        "cluster_report": {},
    }
    for dag in (*by_hand, "machine_watch"):
        airflow.wait_for_dag(dag, 90)
        airflow.unpause(dag)
    runs = {dag: airflow.trigger(dag, conf) for dag, conf in by_hand.items()}
    for dag, run in runs.items():
        assert airflow.wait_for_run(dag, run, 300) == "success", dag
    (by_the_asset, *_) = wait_until(
        lambda: airflow.runs("machine_watch"), 120, "a run of machine_watch, started by its asset"
    )
    assert airflow.wait_for_run("machine_watch", by_the_asset, 300) == "success"


def test_the_web_server_shows_a_tasks_log_from_its_worker(project: Project) -> None:
    airflow = project.airflow()
    run = airflow.trigger(DAG)
    assert airflow.wait_for_run(DAG, run, 300) == "success"
    task = next(task for task in airflow.tasks(DAG, run) if task.task_id == "count")
    assert "words in" in airflow.log(DAG, run, task)


def test_a_user_signs_in_and_sees_the_run_green(project: Project) -> None:
    airflow = project.airflow()
    run = airflow.trigger(DAG)
    assert airflow.wait_for_run(DAG, run, 300) == "success"
    outputs = project.outputs()
    with chromium() as browser:
        wait = WebDriverWait(browser, PAGE_TIMEOUT_SECONDS)
        browser.get(outputs["airflowUrl"])
        wait.until(expected.presence_of_element_located((By.ID, "username")))
        picture(browser, "login")
        browser.find_element(By.ID, "username").send_keys(outputs["adminUser"])
        browser.find_element(By.ID, "password").send_keys(outputs["adminPassword"])
        browser.find_element(By.CSS_SELECTOR, "[type=submit]").click()
        wait.until(lambda page: "/auth/login" not in page.current_url)
        browser.get(f"{outputs['airflowUrl']}/dags/{DAG}/runs/{run}")
        badge = (By.XPATH, "//h2[contains(., 'manual__')]/following::span[text()='Success']")
        success = wait.until(expected.visibility_of_element_located(badge))
        wait.until(lambda page: "report" in page.find_element(By.TAG_NAME, "table").text)
        red, green, blue = painted(browser, success.value_of_css_property("background-color"))
        assert green > max(red, blue)
        picture(browser, "run")


def test_flower_shows_two_workers_and_requires_a_login(project: Project) -> None:
    import requests

    outputs = project.outputs()
    assert requests.get(outputs["flowerUrl"], timeout=30).status_code == 401
    password = outputs["flowerPassword"]
    signed_in = outputs["flowerUrl"].replace("//", f"//{outputs['adminUser']}:{password}@")
    with chromium() as browser:
        browser.get(signed_in)
        wait = WebDriverWait(browser, PAGE_TIMEOUT_SECONDS)
        links = (By.CSS_SELECTOR, "table a[title^='celery@']")
        wait.until(expected.presence_of_element_located(links))
        workers = [link.get_attribute("title") for link in browser.find_elements(*links)]
        assert sorted(workers) == ["celery@worker-1", "celery@worker-2"]
        picture(browser, "flower")


def test_the_outputs_are_what_a_user_needs(project: Project) -> None:
    outputs = project.outputs()
    assert outputs["airflowUrl"] == f"http://127.0.0.1:{WEB_PORT}"
    assert outputs["flowerUrl"] == f"http://127.0.0.1:{FLOWER_PORT}"
    assert [node["name"] for node in outputs["nodes"]] == ["manager-1", "worker-1", "worker-2"]
    assert [node["role"] for node in outputs["nodes"]] == ["manager", "worker", "worker"]
    assert re.fullmatch(r"10\.213\.\d+\.\d+:5000/airflow@sha256:[0-9a-f]{64}", outputs["imageRef"])
    shown = json.loads(project.pulumi("stack", "output", "--json"))
    assert shown["adminPassword"] == "[secret]"


def test_the_printed_commands_work(project: Project) -> None:
    outputs = project.outputs()
    ran = subprocess.run(
        f"{outputs['managerSsh']} docker node ls",
        shell=True,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "worker-2" in ran.stdout
    context = f"dairflow-{STACK}"
    try:
        ran = subprocess.run(
            outputs["dockerContext"],
            shell=True,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
        assert "worker-2" in ran.stdout
    finally:
        subprocess.run(["docker", "context", "rm", "-f", context], check=False, capture_output=True)


def test_no_secret_is_readable_in_the_state(project: Project) -> None:
    state = "".join(
        path.read_text()
        for path in (project.folder.parent / "state").rglob("*.json")
        if path.is_file()
    )
    assert "dairflow-test-e2e-manager-1" in state
    outputs = project.outputs()
    token = project.on("manager-1", "docker swarm join-token -q worker").strip()
    for secret in (outputs["adminPassword"], outputs["flowerPassword"], token):
        assert secret not in state
    assert "OPENSSH PRIVATE KEY" not in state
    assert "BEGIN PRIVATE KEY" not in state


def test_no_secret_is_in_a_services_settings(project: Project) -> None:
    services = project.on(
        "manager-1", "docker service inspect $(docker service ls -q) --format '{{json .Spec}}'"
    )
    outputs = project.outputs()
    assert outputs["adminPassword"] not in services
    assert outputs["flowerPassword"] not in services


def test_one_more_worker_leaves_the_others_as_they_are(
    project: Project, engine: docker.DockerClient
) -> None:
    before = container_ids(engine)
    tasks = _task_ids(project, but="scheduler")  # its setting limits how many tasks run at once
    project.set("workers", 3)
    project.up()
    after = container_ids(engine)
    assert set(after) - set(before) == {"worker-3"}
    assert {name: after[name] for name in before} == before
    assert _task_ids(project, but="scheduler") >= tasks
    assert project.nodes()["worker-3"] == "Ready"
    wait_until(lambda: "worker-3" in _hosts(project), 120, "a task on worker-3")


def test_a_leaving_worker_finishes_its_running_task(
    project: Project, engine: docker.DockerClient
) -> None:
    airflow = project.airflow()
    run = airflow.trigger(DAG, {"seconds": LONG_TASK_SECONDS})
    wait_until(lambda: _running_on(airflow, run, "worker-3"), 120, "a long task on worker-3")
    caught = _running_on(airflow, run, "worker-3")
    project.set("workers", 2)
    printed = project.up()
    assert "worker-3" not in project.nodes()
    assert sorted(container_ids(engine)) == ["manager-1", "worker-1", "worker-2"]
    assert airflow.wait_for_run(DAG, run, 300) == "success"
    ended = {(task.task_id, task.map_index): task for task in airflow.tasks(DAG, run)}
    for key in caught:
        assert ended[key].state == "success"
        assert ended[key].hostname == "worker-3"
        assert ended[key].try_number == 1
        assert "words in" in airflow.log(DAG, run, ended[key]), "a log outlives its worker"
    assert "worker-3" in printed
    project.expect_no_changes()


def test_removed_machines_are_drift_and_come_back(
    project: Project, engine: docker.DockerClient
) -> None:
    """A worker with its disk, and the container of the manager, whose disk has the database."""
    airflow = project.airflow()
    runs = airflow.runs(DAG)
    ran = {
        task.hostname: (run, task)
        for run in runs
        for task in airflow.tasks(DAG, run)
        if task.task_id == "count"
    }
    engine.containers.get(f"dairflow-{STACK}-worker-2").remove(force=True, v=True)
    engine.volumes.get(f"dairflow-{STACK}-worker-2").remove()
    engine.containers.get(f"dairflow-{STACK}-manager-1").remove(force=True, v=True)
    project.up("--refresh")
    assert project.nodes() == dict.fromkeys(("manager-1", "worker-1", "worker-2"), "Ready")
    airflow = project.airflow()
    assert set(airflow.runs(DAG)) >= set(runs)
    assert "words in" in airflow.log(DAG, *ran["worker-2"]), "a log outlives its machine"
    assert {task.hostname for task in run_dag(project)} <= {"worker-1", "worker-2"}
    # worker-1 stayed, with connections whose other end vanished without closing them.
    wait_until(lambda: _hosts(project) == {"worker-1", "worker-2"}, 150, "tasks on both workers")
    project.expect_no_changes()


def test_an_edited_dag_ships_only_its_layer_and_loses_nothing_also_after_a_kill(
    project: Project,
) -> None:
    """Tasks start and end, and the page is requested five times a second, while all is replaced."""
    before = _layers(project)
    airflow = project.airflow()
    example = project.folder / "dags" / "cluster_check.py"
    text = example.read_text()
    (project.folder / "dags" / "edited.py").write_text(
        text.replace("def cluster_check(", "def edited(").replace("\ncluster_check()", "\nedited()")
    )
    runs = [airflow.trigger(DAG, {"seconds": seconds}) for seconds in (1, 45)]
    wait_until(lambda: _running_on(airflow, runs[1], "worker-1"), 120, "a task on worker-1")
    with Visitor(f"{project.outputs()['airflowUrl']}/api/v2/version") as visitor:
        end_at(project, "airflow updating", signal.SIGKILL, "up", "--yes", "--skip-preview")
        project.pulumi("cancel", "--yes")
        project.up()
        runs.append(airflow.trigger(DAG))
    assert visitor.failures == []
    assert visitor.answers > 5
    after = _layers(project)
    assert len(after) == len(before)
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
    airflow.wait_for_dag("edited", 120)
    for run in runs:
        assert airflow.wait_for_run(DAG, run, 300) == "success"
        assert {task.try_number for task in airflow.tasks(DAG, run)} == {1}
    project.expect_no_changes()


def test_a_restart_of_the_first_manager_loses_no_task(
    project: Project, engine: docker.DockerClient
) -> None:
    """Database, broker, scheduler and web server are away together while tasks end."""
    airflow = project.airflow()
    run = airflow.trigger(DAG, {"seconds": 20})
    for worker in ("worker-1", "worker-2"):
        wait_until(lambda on=worker: _running_on(airflow, run, on), 120, f"a task on {worker}")
    engine.containers.get(f"dairflow-{STACK}-manager-1").restart()

    def state() -> str:
        with contextlib.suppress(AirflowApiError, requests.RequestException):
            return airflow.run_state(DAG, run)
        return "no answer"

    final = ("success", "failed")
    ended = wait_until(lambda: (now := state()) in final and now, 300, "the end of the run")
    tasks = airflow.tasks(DAG, run)
    assert (ended, {task.try_number for task in tasks}) == ("success", {1}), tasks


def test_an_image_that_does_not_build_changes_nothing(project: Project) -> None:
    image = project.outputs()["imageRef"]
    dockerfile = project.folder / "images" / "airflow" / "Dockerfile"
    text = dockerfile.read_text()
    dockerfile.write_text(f"{text}RUN echo this cannot work && exit 7\n")
    try:
        printed = project.pulumi("up", "--yes", "--skip-preview", check=False)
    finally:
        dockerfile.write_text(text)
    assert "this cannot work" in printed
    assert "Traceback" not in printed
    assert project.outputs()["imageRef"] == image
    assert set(project.airflow().health().values()) == {"healthy"}
    project.up()
    project.expect_no_changes()


@pytest.mark.chaos
def test_workers_that_cannot_reach_the_registry_are_named_and_mended(project: Project) -> None:
    """A rule blocks the connection; the message has the symptom, and refresh and up repair it.

    They do so at once, while the worker that was to be replaced still finishes a task.
    """
    project.up()
    airflow = project.airflow()
    run = airflow.trigger(DAG, {"seconds": 30})
    workers = ("worker-1", "worker-2")
    for worker in workers:
        wait_until(lambda on=worker: _running_on(airflow, run, on), 120, f"a task on {worker}")
    addresses = ", ".join(_address(project, worker) for worker in workers)
    refusal = f"ip saddr {{ {addresses} }} tcp dport 5000 reject with tcp reset"
    project.on("manager-1", f"nft insert rule inet dairflow forward '{refusal}'")
    never_pulled = project.folder / "dags" / "cluster_check.py"
    never_pulled.write_text(f"{never_pulled.read_text()}\n# An image that no node has yet.\n")
    printed = project.pulumi("up", "--yes", "--skip-preview", check=False)
    assert re.search(r"worker-[12] could not pull the image", printed), printed
    assert "Traceback" not in printed
    project.up("--refresh")
    assert project.airflow().wait_for_run(DAG, run, 300) == "success"
    assert {task.state for task in run_dag(project)} == {"success"}
    project.expect_no_changes()


def test_destroy_leaves_nothing_also_after_ctrl_c_and_may_be_repeated(
    project: Project, engine: docker.DockerClient, before: dict[str, set[str]]
) -> None:
    folder = project.folder / ".dairflow" / "stacks" / STACK
    assert folder.exists()
    end_at(project, " deleting", signal.SIGINT, "destroy", "--yes", "--skip-preview")
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert inventory(engine) == before
    assert not folder.exists()
    project.pulumi("destroy", "--yes", "--skip-preview")


def _task_ids(project: Project, *, but: str = "none") -> set[str]:
    names = f"docker service ls --format '{{{{.Name}}}}' | grep -v {but}"
    command = f"docker service ps $({names}) -q --filter desired-state=running"
    return set(project.on("manager-1", command).split())


def _hosts(project: Project) -> set[str]:
    return {task.hostname for task in run_dag(project)}


def _running_on(airflow: Any, run: str, host: str) -> list[tuple[str, int]]:
    """Return the tasks of a worker that count, which are the long ones."""
    return [
        (task.task_id, task.map_index)
        for task in airflow.tasks(DAG, run)
        if (task.task_id, task.hostname, task.state) == ("count", host, "running")
    ]


def _layers(project: Project) -> list[str]:
    """Return the digests of the deployed image's layers, as worker-1's engine has them."""
    reference = project.outputs()["imageRef"]
    printed = project.on(
        "worker-1", f"docker image inspect {reference} --format '{{{{json .RootFS.Layers}}}}'"
    )
    return json.loads(printed)


def _address(project: Project, name: str) -> str:
    nodes = project.outputs()["nodes"]
    return next(node["address"] for node in nodes if node["name"] == name)

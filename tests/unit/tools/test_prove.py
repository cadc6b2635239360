"""`tools.prove` against an Airflow that is a small HTTP server, and a Pulumi that is a script."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tools import prove

MakeProgram = Callable[..., Path]
PASSWORD = "the admin's password"
RUNS = "/api/v2/dags/cluster_check/dagRuns"
NODES = [
    {"name": "manager-1", "role": "manager", "address": "172.20.0.2"},
    {"name": "worker-1", "role": "worker", "address": "172.20.0.3"},
    {"name": "worker-2", "role": "worker", "address": "172.20.0.4"},
]


@dataclass
class Cluster:
    """What the server's run was, to be set by a test."""

    url: str
    password: str = PASSWORD
    state: str = "success"
    hosts: list[str] = field(default_factory=lambda: ["worker-1", "worker-2", "worker-1"])

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Return what Airflow's API answers; None is a 404."""
        tasks = [
            {
                "task_id": f"count_{number}",
                "map_index": -1,
                "state": self.state,
                "hostname": host,
                "try_number": 1,
            }
            for number, host in enumerate(self.hosts)
        ]
        if (method, path) == ("POST", "/auth/token") and body["password"] == self.password:
            return {"access_token": "token"}
        return {
            ("GET", "/api/v2/dags/cluster_check"): {},
            ("POST", RUNS): {"dag_run_id": "manual_1"},
            ("GET", f"{RUNS}/manual_1"): {"state": self.state},
            ("GET", f"{RUNS}/manual_1/taskInstances"): {"task_instances": tasks},
        }.get((method, path))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            answer = cluster.answer(self.command, self.path, body)
            refused = self.path == "/auth/token" and body["password"] != cluster.password
            self.send_response(401 if refused else 404 if answer is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster = Cluster(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield cluster
    server.shutdown()
    server.server_close()


@pytest.fixture
def outputs(cluster: Cluster, programs: MakeProgram, tmp_path: Path) -> dict[str, Any]:
    """The stack's outputs, as a `pulumi` on PATH prints them; the manager's swarm is a script."""
    swarm = programs("manager-ssh", 'echo "$*" >&2')
    outputs = {
        "airflowUrl": cluster.url,
        "flowerUrl": "http://127.0.0.1:5555",
        "adminUser": "admin",
        "adminPassword": PASSWORD,
        "flowerPassword": "flower's password",
        "nodes": NODES,
        "managerSsh": str(swarm),
    }
    printed = tmp_path / "outputs.json"
    printed.write_text(json.dumps(outputs))
    programs("pulumi", f'test "$*" = "stack output --json --show-secrets" && cat {printed}')
    return outputs


def test_it_prints_addresses_workers_and_three_things_to_try(
    outputs: dict[str, Any], cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prove.main() == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"Airflow {cluster.url}" in lines
    assert f"login admin / {PASSWORD} (the first password)" in lines
    assert "Flower http://127.0.0.1:5555" in lines
    assert "login admin / flower's password" in lines
    assert any(line.endswith("2 tasks on worker-1, 1 tasks on worker-2") for line in lines)
    for node in NODES:
        assert f"{node['name']} {node['role']} {node['address']}" in lines
    _, _, following = text.partition("  Next, after `. ./env.sh`:\n")
    tries = [line.strip() for line in following.strip().splitlines()]
    assert len(tries) == 3
    assert tries[0].startswith("pulumi config set workers 3 && pulumi up ")
    assert tries[1] == f"{outputs['managerSsh']} docker node ls"
    assert tries[2].startswith("pulumi destroy ")


@pytest.mark.parametrize("host", ["manager-1", "some-laptop"])
def test_a_task_on_no_worker_node_is_a_failure(
    outputs: dict[str, Any], cluster: Cluster, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outputs
    cluster.hosts = ["worker-1", host]
    assert prove.main() == 1
    text = capsys.readouterr()
    assert f"tasks ran on {host}, which are not worker nodes" in text.err
    assert "login" not in text.out


@pytest.mark.usefixtures("outputs")
def test_several_workers_on_a_node_are_the_nodes(cluster: Cluster) -> None:
    cluster.hosts = ["worker-1-1", "worker-1-3", "worker-2-2"]
    assert prove.main() == 0


@pytest.mark.usefixtures("outputs")
def test_a_host_that_has_another_name_of_its_own_is_looked_up_in_the_swarm(
    cluster: Cluster, programs: MakeProgram
) -> None:
    programs("manager-ssh", "printf 'iron\\ncopper\\n'")
    cluster.hosts = ["iron", "copper-2"]
    assert prove.main() == 0


@pytest.mark.usefixtures("outputs")
def test_a_run_that_failed_names_its_tasks_and_where_to_look(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.state = "failed"
    assert prove.main() == 1
    text = capsys.readouterr().err
    assert "manual_1 ended as failed: count_0 on worker-1, count_1 on worker-2" in text
    assert "docker service ls" in text


@pytest.mark.usefixtures("outputs")
def test_a_password_that_was_changed_in_airflow_is_reported(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.password = "mine"
    assert prove.main() == 0
    text = capsys.readouterr().out
    assert "it was changed in Airflow, or the account was renamed or disabled" in text
    assert "rotateSecrets.admin_password" in text
    assert f"Airflow   {cluster.url}" in text
    assert "success" not in text

    monkeypatch.setenv("DAIRFLOW_ADMIN_PASSWORD", "mine")
    assert prove.main() == 0
    assert "success" in capsys.readouterr().out


@pytest.mark.usefixtures("outputs")
def test_a_second_worker_service_is_on_worker_nodes(cluster: Cluster) -> None:
    cluster.hosts = ["worker-1-worker-gpu", "worker-2-worker-gpu-3"]
    assert prove.main() == 0


def test_a_stack_that_cannot_be_read_is_pulumis_own_words(
    programs: MakeProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    programs("pulumi", "echo 'error: no stack selected' >&2; exit 255")
    assert prove.main() == 1
    assert "error: no stack selected" in capsys.readouterr().err


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("outputs")
def test_ctrl_c_ends_it_with_one_line(cluster: Cluster) -> None:
    cluster.state = "running"
    root = Path(__file__).parents[3]
    # If the tests themselves run in a shell's background, they ignore Ctrl-C.
    heeding = ["env", "--default-signal=INT"]
    with subprocess.Popen(
        [*heeding, sys.executable, "-m", "tools.prove"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "cluster_check: started as manual_1\n"
        running.send_signal(signal.SIGINT)
        _, text = running.communicate(timeout=30)
    assert running.returncode == 128 + signal.SIGINT
    assert text.strip().splitlines() == [
        "Interrupted; the cluster is up. `make up` proves it again."
    ]

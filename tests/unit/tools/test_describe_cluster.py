"""`tools.describe_cluster` against an Airflow that is a small HTTP server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from dag_builder.cluster.description import read_cluster

from tools import describe_cluster
from tools.airflow_api import PAGE
from tools.image_packages import image_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LISTS: dict[str, list[dict[str, Any]]] = {
    "pools": [{"name": "default_pool", "slots": -1}, {"name": "lake", "slots": 4}],
    "connections": [{"connection_id": f"lake_{number}"} for number in range(2 * PAGE + 1)],
    "variables": [{"key": "city", "value": "a secret"}],
}
OFFERS = {
    "queues": {"default": 3600},
    "default_queue": "default",
    "connections": ["warehouse"],
    "variables": [],
}


class Handler(BaseHTTPRequestHandler):
    """Answers as Airflow does, a page at a time."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"access_token": "token"})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: int(value) for name, (value,) in parse_qs(url.query).items()}
        kind = url.path.removeprefix("/api/v2/")
        end = query["offset"] + query["limit"]
        assert query["limit"] <= PAGE
        found = LISTS[kind]
        self._answer({kind: found[query["offset"] : end], "total_entries": len(found)})

    def _answer(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def outputs(programs: Callable[..., Path], tmp_path: Path, url: str) -> Callable[..., None]:
    """Set the stack's outputs, which a `pulumi` on PATH prints."""

    def prints(**changes: Any) -> None:
        found = {"airflowUrl": url, "adminUser": "admin", "adminPassword": "x", **changes}
        (tmp_path / "outputs.json").write_text(json.dumps(found))
        programs("pulumi", f"cat {tmp_path / 'outputs.json'}")

    return prints


def test_the_description_of_a_stack(outputs: Callable[..., None], tmp_path: Path) -> None:
    outputs(offers=OFFERS)
    file = tmp_path / "new/cluster.json"
    assert describe_cluster.main(["stack", str(file)]) == 0
    found = read_cluster(file)
    assert found.queues == {"default": 3600}
    assert found.pools == {"default_pool": -1, "lake": 4}
    assert len(found.connections or ()) == 2 * PAGE + 2
    assert {"warehouse", "lake_0", f"lake_{2 * PAGE}"} <= set(found.connections or ())
    assert found.variables == ["city"]
    assert "apache-airflow" in (found.packages or ())
    assert "taskGrace" in found.next_steps["task_time"]
    assert "a secret" not in file.read_text()


def test_what_cannot_be_listed_is_left_out(outputs: Callable[..., None], tmp_path: Path) -> None:
    outputs(offers={**OFFERS, "connections": None, "variables": None})
    assert describe_cluster.main(["stack", str(tmp_path / "cluster.json")]) == 0
    found = read_cluster(tmp_path / "cluster.json")
    assert (found.connections, found.variables) == (None, None)


def test_a_stack_without_a_cluster_names_the_next_step(
    outputs: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs()
    assert describe_cluster.main(["stack", str(tmp_path / "cluster.json")]) == 1
    printed = capsys.readouterr().err
    assert "has no output `offers`. Next: run `pulumi up`" in printed
    assert not (tmp_path / "cluster.json").exists()


def test_a_stack_that_cannot_be_read_is_reported(
    programs: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs("pulumi", "echo 'error: no stack selected' >&2; exit 255")
    assert describe_cluster.main(["stack", str(tmp_path / "cluster.json")]) == 1
    assert "error: no stack selected" in capsys.readouterr().err


def test_an_airflow_that_does_not_answer_is_reported(
    outputs: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs(offers=OFFERS, airflowUrl="http://127.0.0.1:1")
    assert describe_cluster.main(["stack", str(tmp_path / "cluster.json")]) == 1
    assert "Airflow did not answer at http://127.0.0.1:1" in capsys.readouterr().err


def test_the_usage_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["stack"], ["cloud", "file"]):
        assert describe_cluster.main(arguments) == 1
        assert "usage: " in capsys.readouterr().err


def test_the_next_steps_are_of_known_kinds(tmp_path: Path) -> None:
    for steps in (describe_cluster.ON_STACK, describe_cluster.ON_LAPTOP):
        (tmp_path / "cluster.json").write_text(json.dumps({"next_steps": steps}))
        assert read_cluster(tmp_path / "cluster.json").next_steps == steps


def test_packages_are_those_of_the_locks_and_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "conda_requirements.lock").write_text(
        "- conda: https://conda.example.org/noarch/pandas-2.3.0-py313h1_0.conda\n"
        "- conda: https://conda.example.org/linux-64/scikit-learn-1.7-py_0.tar.bz2\n"
    )
    (tmp_path / "pip_requirements.lock").write_text("# flower==1\npolars==1.30 \\\n    # via x\n")
    (tmp_path / "conda_requirements.txt").write_text(
        "# comment\npython=3.13\nconda-forge::pytorch>=2  # pypi: torch\n"
    )
    (tmp_path / "pip_requirements.txt").write_text("boto3[crt]>=1 # newest\n\nduckdb\n")
    assert set(image_packages(tmp_path)) == {
        *("dag-builder", "dairflow", "pandas", "scikit-learn", "polars", "python"),
        *("pytorch", "torch", "boto3", "duckdb"),
    }


def test_the_projects_image_has_airflow_and_its_providers() -> None:
    assert {"apache-airflow", "pandas", "apache-airflow-providers-standard"} <= set(
        image_packages()
    )

"""What keeps disk and memory in bounds in a container of Airflow's."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ENTRYPOINT = Path(__file__).parents[2] / "images/airflow/entrypoint.sh"
LOGS = "/opt/airflow/logs"
MADE = f"""
mkdir -p {LOGS}/dag_id=old/run_id=1 {LOGS}/dag_id=new/run_id=1 {LOGS}/dag_id=about-to-be
touch -d '8 days ago' {LOGS}/dag_id=old/run_id=1/attempt=1.log
touch -d '6 days ago' {LOGS}/dag_id=new/run_id=1/attempt=1.log
touch -d '3 days ago' {LOGS}/dag_id=old/run_id=1
"""
SCORES = "cat /proc/[0-9]*/oom_score_adj"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[str]:
    """A worker by its real entry point, which finds its neighbours; Celery itself is left out."""
    celery = tmp_path / "worker.py"
    celery.write_text("#!/bin/sh\nexec sleep 600\n")
    celery.chmod(0o755)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for secret in ("redis_password", "api_secret_key"):
        (secrets / secret).write_text("secret")
    name = f"dairflow-test-{uuid.uuid4().hex[:8]}"
    image = os.environ.get("DAIRFLOW_AIRFLOW_IMAGE", project_images.reference("airflow"))
    docker(
        *("run", "--detach", "--name", name, "--env", "LOG_CHECK_SECONDS=1"),
        *("--env", "LOG_RETENTION_DAYS=7", "--env", "WAREHOUSE_ADDRESS=127.0.0.1:7777"),
        *("--env", "BROKER_ADDRESS=127.0.0.1:7777"),
        *("--volume", f"{ENTRYPOINT}:/opt/dairflow/entrypoint.sh:ro"),
        *("--volume", f"{secrets}:/run/secrets:ro"),
        *("--volume", f"{celery}:/opt/dairflow/worker.py:ro", image, "worker"),
    )
    docker("exec", "--detach", name, "python", "-m", "http.server", "7777")
    yield name
    docker("rm", "--force", "--volumes", name)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_old_logs_are_removed_and_others_stay(worker: str) -> None:
    docker("exec", worker, "mkdir", "--mode", "0", f"{LOGS}/closed")  # an error in each round
    for _ in range(2):
        docker("exec", worker, "bash", "-c", MADE)
        deadline = time.monotonic() + 60
        while "attempt=1.log" in docker("exec", worker, "find", f"{LOGS}/dag_id=old"):
            assert time.monotonic() < deadline
    left = docker(
        "exec", worker, "bash", "-c", f"find {LOGS} -not -path '*/closed' || true"
    ).split()
    assert f"{LOGS}/dag_id=new/run_id=1/attempt=1.log" in left
    assert f"{LOGS}/dag_id=about-to-be" in left


def test_a_worker_and_its_tasks_are_what_the_kernel_ends_first(worker: str) -> None:
    deadline = time.monotonic() + 60
    while "500" not in docker("exec", worker, "bash", "-c", SCORES).split():
        assert time.monotonic() < deadline

"""The rendered document, as the Docker client of a node reads it."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.images import project_images
from infra.stack.options import StackOptions
from infra.stack.render import render
from infra.stack.secrets import SECRET_NAMES

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
DIGEST = f"sha256:{'ab' * 32}"
IMAGES = ("airflow", "postgres", "redis", "web")
IN_A_NODE = (
    *("docker", "run", "--rm", "-i", "--entrypoint", "docker"),
    project_images.reference("node"),
)
OF_THE_USER = f"""
image: registry.example.com/web@{DIGEST}
cap_add: [NET_ADMIN]
cap_drop: [ALL]
command: sleep 5
container_name: page
cpus: 0.5
configs: [page]
dns: 192.0.2.1
environment: [A=1, B=2]
extra_hosts: [a=192.0.2.7]
healthcheck: {{test: [CMD, ls], interval: 5s, retries: 3}}
init: true
labels: {{a: true}}
logging: {{driver: local, options: {{max-size: 1m}}}}
mem_limit: 64m
mem_reservation: 16m
pids_limit: 50
ports: ["3000:80", {{target: 81, published: "3001", protocol: udp}}]
read_only: true
restart: on-failure:3
scale: 2
secrets: [{{source: token, target: /etc/token, mode: 0o400}}]
shm_size: 16m
stop_grace_period: 1m30s
sysctls: [net.core.somaxconn=10]
tmpfs: /run:size=1m
ulimits: {{nofile: 10, nproc: {{soft: 1, hard: 2}}}}
user: "1"
volumes: [logs:/logs, {{type: bind, source: /srv, target: /srv, read_only: true}}]
deploy: {{labels: [a=b], placement: {{preferences: [{{spread: node.labels.zone}}]}}}}
"""


def test_a_nodes_client_reads_every_key_that_is_rendered() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    compose["services"]["page"] = yaml.safe_load(OF_THE_USER)
    compose["configs"] = {"page": {"content": "hello"}}
    compose["secrets"]["token"] = {"environment": "TOKEN"}
    options = StackOptions(
        images={kind: f"10.0.0.1:5000/{kind}@{DIGEST}" for kind in IMAGES},
        worker_nodes=2,
        base_url="http://10.0.0.1:8080",
        secrets={name: f"value-of-{name}" for name in SECRET_NAMES},
        own_secrets={"token": "1"},
        configs={"page": "hello"},
    )
    rendered = render(compose, options)
    read = subprocess.run(
        [*IN_A_NODE, "stack", "config", "-c", "-"],
        input=rendered.to_bytes(datetime.now(UTC)),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert read.returncode == 0, read.stderr.decode()
    assert not read.stderr
    page = yaml.safe_load(read.stdout)["services"]["page"]
    assert page["deploy"]["resources"]["limits"] == {
        "cpus": "0.5",
        "memory": "67108864",
        "pids": 50,
    }
    assert {mount["target"]: mount["type"] for mount in page["volumes"]} == {
        "/logs": "volume",
        "/srv": "bind",
        "/run": "tmpfs",
        "/dev/shm": "tmpfs",  # noqa: S108 - the mount point
    }
    assert json.dumps(page).count("3000") == 1

"""What the stack's tests share: the real compose file, options, and a manager that answers."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.remote.machine import Machine
from infra.stack.options import StackOptions
from infra.stack.secrets import SECRET_NAMES

REPOSITORY = Path(__file__).parents[3]
DIGEST = "sha256:" + "ab" * 32


@functools.cache
def compose_file() -> dict[str, Any]:
    """Return the compose file as PyYAML reads it. It is read once: copy it before a change."""
    return yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())


@pytest.fixture
def compose() -> dict[str, Any]:
    return copy.deepcopy(compose_file())


@pytest.fixture
def secrets() -> dict[str, str]:
    return {name: f"value-of-{name}" for name in SECRET_NAMES}


@pytest.fixture
def options(secrets: dict[str, str]) -> StackOptions:
    return StackOptions(
        name="airflow",
        images={
            kind: f"10.0.0.1:5000/{kind}@{DIGEST}"
            for kind in ("airflow", "postgres", "redis", "web")
        },
        worker_nodes=2,
        task_grace_seconds=900,
        base_url="http://10.0.0.1:8080",
        secrets=secrets,
    )


@pytest.fixture
def manager() -> Machine:
    return Machine(
        name="manager-1",
        role="manager",
        address="192.0.2.1",
        host_key="ssh-ed25519 AAAA",
        private_address="10.0.0.1",
    )

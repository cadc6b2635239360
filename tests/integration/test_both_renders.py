"""The one compose file, as Docker Compose reads it for the laptop and as it is for the swarm.

Whatever a service is, it is on both: this fails when a key of either is changed alone. What differs
is named here, and nothing else may.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.stack.options import StackOptions
from infra.stack.render import DAG_PARSE_SECONDS, LOG_STORE, render
from infra.stack.secrets import SECRET_NAMES

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
KINDS = ("airflow", "postgres", "redis", "web")
IMAGES = {kind: f"10.0.0.1:5000/{kind}@sha256:{'ab' * 32}" for kind in KINDS}
OPTIONS = StackOptions(
    name="airflow",
    images=IMAGES,
    worker_nodes=2,
    worker_concurrency=3,
    task_grace_seconds=900,
    base_url="http://10.0.0.1:8090",
    web_port=8090,
    flower_port=5556,
    secrets={name: f"value-of-{name}" for name in SECRET_NAMES},
)
LAPTOP_ONLY = {"build", "depends_on", "restart"}
SWARM_ONLY = {"hostname"}  # of a worker: its node's name
DIFFERENT = {
    "deploy",
    "healthcheck",
    "networks",
    "ports",
    "secrets",
    "stop_grace_period",
    "volumes",
}
"""Keys that each writes in its own way; the tests below compare their content."""

Service = dict[str, Any]


@pytest.fixture(scope="module")
def laptop(compose_command: list[str]) -> dict[str, Service]:
    """`docker compose config`, with the values that the swarm has."""
    variables = {f"DAIRFLOW_{kind.upper()}_IMAGE": image for kind, image in IMAGES.items()}
    variables |= {
        "DAIRFLOW_WEB_PORT": "8090",
        "DAIRFLOW_FLOWER_PORT": "5556",
        "DAIRFLOW_BASE_URL": OPTIONS.base_url,
        "DAIRFLOW_WORKER_CONCURRENCY": "3",
        "DAIRFLOW_LOG_STORE": LOG_STORE,
        "DAIRFLOW_PARALLELISM": "6",
        "DAIRFLOW_RUNS_PER_DAG": "16",
        "DAIRFLOW_TASK_GRACE": "900",
        "DAIRFLOW_PARSE_SECONDS": str(DAG_PARSE_SECONDS),
        "DAIRFLOW_REFRESH_SECONDS": str(DAG_PARSE_SECONDS),
        **OPTIONS.backups.variables,
    }
    return config(compose_command, variables)


def config(compose_command: list[str], variables: dict[str, str]) -> dict[str, Service]:
    ours = {name: text for name, text in os.environ.items() if not name.startswith("DAIRFLOW_")}
    done = subprocess.run(
        [*compose_command, "config", "--format", "json"],
        cwd=ROOT,
        env={**ours, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


@pytest.fixture(scope="module")
def swarm() -> dict[str, Service]:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    return render(compose, OPTIONS).document["services"]


def without_nothing(service: Service) -> Service:
    """Leave out what Compose prints of a key that is not set."""
    return {key: value for key, value in service.items() if value not in (None, [], {})}


def test_both_have_the_same_services(laptop: dict[str, Service], swarm: dict[str, Service]) -> None:
    assert set(laptop) == set(swarm)


def test_what_is_not_named_here_is_the_same_on_both(
    laptop: dict[str, Service], swarm: dict[str, Service]
) -> None:
    for name, service in swarm.items():
        ours = {k: v for k, v in service.items() if k not in DIFFERENT | SWARM_ONLY}
        theirs = {
            key: value
            for key, value in without_nothing(laptop[name]).items()
            if key not in DIFFERENT | LAPTOP_ONLY
        }
        assert ours == theirs, name
    assert {name for name, service in swarm.items() if SWARM_ONLY & set(service)} == {"worker"}


def test_each_service_is_given_the_same_secrets(
    laptop: dict[str, Service], swarm: dict[str, Service]
) -> None:
    for name, service in swarm.items():
        assert {s["target"] for s in service.get("secrets", [])} == {
            Path(s.get("target") or s["source"]).name for s in laptop[name].get("secrets", [])
        }, name


def test_each_service_is_checked_in_the_same_way(
    laptop: dict[str, Service], swarm: dict[str, Service]
) -> None:
    """The swarm checks less often once a service is healthy."""
    for name, service in swarm.items():
        checks = [one.get("healthcheck", {}) for one in (service, laptop[name])]
        assert checks[0].get("test") == checks[1].get("test"), name
        assert checks[0].get("retries") == checks[1].get("retries"), name


def test_each_service_listens_on_the_same_ports(
    laptop: dict[str, Service], swarm: dict[str, Service]
) -> None:
    for name, service in swarm.items():
        ports = [
            {(int(p["target"]), int(p["published"])) for p in one.get("ports") or []}
            for one in (service, laptop[name])
        ]
        assert ports[0] == ports[1], name


def test_each_service_keeps_the_same_volumes(
    laptop: dict[str, Service], swarm: dict[str, Service]
) -> None:
    """The folders of the user that the laptop mounts as well are in the swarm's image."""
    for name, service in swarm.items():
        mounts = [mounted(one) for one in laptop[name].get("volumes") or []]
        kept = [mount for mount in mounts if mount["type"] != "bind"]
        assert [mounted(mount) for mount in service.get("volumes", [])] == kept, name
        for mount in mounts:
            if mount["type"] == "bind":
                assert mount["read_only"]
                assert Path(mount["source"]).is_relative_to(ROOT)
                assert mount["target"].startswith("/opt/airflow")


def mounted(mount: Any) -> dict[str, Any]:
    """A mount in its long form, whichever form the compose file or Compose writes it in."""
    if isinstance(mount, str):
        source, target, *mode = mount.split(":")
        mount = {"type": "volume", "source": source, "target": target}
        mount |= {"read_only": True} if mode == ["ro"] else {}
    size = (mount.get("tmpfs") or {}).get("size")
    return {
        **{k: mount[k] for k in ("type", "source", "target", "read_only") if k in mount},
        **({"size": int(size)} if size else {}),
    }


def test_each_service_has_as_long_to_stop(
    laptop: dict[str, Service], swarm: dict[str, Service]
) -> None:
    for name, service in swarm.items():
        assert seconds(service.get("stop_grace_period")) == seconds(
            laptop[name].get("stop_grace_period")
        ), name


@pytest.mark.parametrize("port", [None, "8090"])
def test_the_laptop_s_web_server_has_its_own_address(
    compose_command: list[str], port: str | None
) -> None:
    """It sends who has not signed in to a page under this address."""
    given = {"DAIRFLOW_WEB_PORT": port} if port else {}
    service = config(compose_command, given)["api-server"]
    assert service["environment"]["AIRFLOW__API__BASE_URL"] == f"http://localhost:{port or '8080'}"


def seconds(text: str | None) -> int | None:
    """Read ``900s``, or ``15m0s`` as Compose prints it."""
    if text is None:
        return None
    units = {"h": 3600, "m": 60, "s": 1}
    total, number = 0, ""
    for character in text:
        if character.isdigit():
            number += character
        else:
            total += int(number) * units[character]
            number = ""
    return total

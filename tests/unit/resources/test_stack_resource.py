"""What the stack's provider deploys when Pulumi calls it: twice while a secret is rotated."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.project import ROOT
from infra.remote.machine import Machine
from infra.resources import stack as module
from infra.resources.stack import StackProvider
from infra.settings.model import OTHER_IMAGES
from infra.stack import deploy as deployment
from infra.stack.deploy import StackState
from infra.stack.options import StackOptions
from infra.stack.render import render
from infra.stack.secrets import SECRET_NAMES
from tests.fake_remote import FakeRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.stack.render import RenderedStack

Values = dict[str, str]
MANAGER = Machine(
    name="manager-1",
    role="manager",
    address="192.0.2.1",
    host_key="ssh-ed25519 AAAA",
    private_address="10.0.0.1",
)
SECRETS = {**{name: f"value-of-{name}" for name in SECRET_NAMES}, "naming_key": "key"}


def props(secrets: Values) -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    options = StackOptions(
        images={kind: f"{kind}@sha256:{'ab' * 32}" for kind in ("airflow", *OTHER_IMAGES)},
        worker_nodes=1,
        base_url="http://localhost",
        secrets=secrets,
    )
    rendered = asdict(render(compose, options))
    return {"name": "airflow", "rendered": rendered, "secrets": secrets, "configs": {}}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the deployments and the commands; only the wait for real services is left out."""
    seen: list[str] = []
    runner = (
        FakeRunner(MANAGER)
        .on("docker config", "")
        .on("docker ps", "c0ffee\n")
        .on("docker exec", "")
        .on("run --rm", "")
    )

    @contextmanager
    def pool(_props: Any) -> Iterator[None]:
        yield None

    def deploy(
        _runner: Any, rendered: RenderedStack, secrets: Values, **_others: Any
    ) -> StackState:
        assert set(rendered.secrets) <= set(secrets)
        commands = [command for command in runner.commands if command.startswith("docker")]
        seen.extend(commands[len([s for s in seen if s.startswith("docker")]) :])
        keys = secrets["fernet_key"].count(",") + 1
        seen.append(f"{keys} Fernet, {sum('redis' in name for name in rendered.secrets)} Redis")
        return StackState(name="airflow", digest="", services=())

    monkeypatch.setattr(module, "ssh_pool", pool)
    monkeypatch.setattr(module, "_manager", lambda *_arguments: runner)
    monkeypatch.setattr(deployment, "deploy", deploy)
    return seen


def test_a_rotation_deploys_both_values_encrypts_again_and_deploys_the_new_one(
    steps: list[str],
) -> None:
    new = {**SECRETS, "fernet_key": "new", "redis_password": "new"}
    StackProvider().update("airflow", props(SECRETS), props(new))
    assert steps[0] == "2 Fernet, 2 Redis"
    assert steps[-2].endswith("airflow rotate-fernet-key")
    assert steps[-1] == "1 Fernet, 1 Redis"


def test_another_deployment_is_one(steps: list[str]) -> None:
    StackProvider().update("airflow", props(SECRETS), props({**SECRETS, "admin_password": "new"}))
    StackProvider().create(props(SECRETS))
    assert [step for step in steps if not step.startswith("docker")] == ["1 Fernet, 1 Redis"] * 2

"""Amazon's registry: how a node pulls, and how the operator signs in."""

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest

from infra.images import ecr
from infra.images.registry import RegistryError
from infra.machines import target_packages
from infra.remote.machine import Machine
from infra.remote.runner import Completed, RemoteError
from tests.fake_remote import FakeRunner

target_packages.use("aws")
from infra.machines.aws.ecr import login  # noqa: E402

REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
AIRFLOW = f"{REGISTRY}/dairflow-test/airflow@sha256:{'a' * 64}"
WEB = f"{REGISTRY}/dairflow-test/web@sha256:{'c' * 64}"
REDIS = f"{REGISTRY}/dairflow-test/redis@sha256:{'b' * 64}"
NO_ROLE = Completed(stdout="", stderr="no EC2 IMDS role found", exit_status=75)
PULL = "docker-credential-ecr-login get"


def runner(lacks: str) -> FakeRunner:
    """A machine that lacks the images that are named, and where all goes well."""
    machine = Machine(
        name="worker-1",
        role="worker",
        address="192.0.2.1",
        private_address="10.0.0.1",
        host_key="ssh-ed25519 A",
    )
    return FakeRunner(machine).on("", "").on("docker image inspect", lacks)


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_node_that_has_every_image_is_not_touched() -> None:
    node = runner(lacks="")
    ecr.pull(node, [AIRFLOW, REDIS], report=pytest.fail)
    assert len(node.commands) == 1


def test_only_what_is_missing_is_pulled_with_one_token_of_the_role() -> None:
    printed: list[str] = []
    node = runner(lacks=f"{AIRFLOW}\n{REDIS}\n")
    ecr.pull(node, [AIRFLOW, REDIS, WEB], report=printed.append)
    install, pull = node.commands[1:]
    assert "amazon-ecr-credential-helper" in install
    assert pull.count("docker-credential-ecr-login get") == 1
    assert f"\nIMAGES='{AIRFLOW} {REDIS}'\n" in pull
    assert printed == [printed[0]]
    assert printed[0].startswith("worker-1: pulled 2 image(s) from ECR")


def test_the_token_is_what_docker_signs_in_with_and_is_gone_after(tmp_path: Path) -> None:
    """The real shell runs the command; the helper and the client are replacements."""
    seen = tmp_path / "seen"
    answer = '{"ServerURL":"x","Username":"AWS","Secret":"abc+/=="}'
    program(tmp_path / "docker-credential-ecr-login", f"echo '{answer}'")
    program(tmp_path / "docker", f'cat "$2/config.json" >> {seen}; echo " $2 $5" >> {seen}')
    node = runner(lacks=f"{AIRFLOW}\n{REDIS}\n")
    ecr.pull(node, [AIRFLOW, REDIS], report=lambda _: None)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", node.commands[-1]], check=True, env=environment)
    for line, image in zip(seen.read_text().splitlines(), (AIRFLOW, REDIS), strict=True):
        config, folder, pulled = line.split(" ")
        (given,) = json.loads(config)["auths"].items()
        assert given[0] == REGISTRY
        assert base64.b64decode(given[1]["auth"]) == b"AWS:abc+/=="
        assert pulled == image
        assert folder.startswith("/dev/shm/")  # noqa: S108
        assert not Path(folder).exists()


def test_a_helper_that_fails_is_waited_for_and_nothing_is_pulled(tmp_path: Path) -> None:
    program(
        tmp_path / "docker-credential-ecr-login",
        'mkdir "$AWS_ECR_CACHE_DIR/log"\n'
        'echo no role > "$AWS_ECR_CACHE_DIR/log/ecr-login.log"; exit 1',
    )
    program(tmp_path / "docker", f"touch {tmp_path}/pulled")
    node = runner(lacks=AIRFLOW)
    ecr.pull(node, [AIRFLOW], report=lambda _: None)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", node.commands[-1]],
        check=False,
        env=environment,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (NO_ROLE.exit_status, b"no role\n")
    assert not (tmp_path / "pulled").exists()


def test_a_role_that_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.images.ecr._POLL_SECONDS", 0)
    printed: list[str] = []
    node = runner(lacks=AIRFLOW)
    node.on(PULL, NO_ROLE, NO_ROLE, "")
    ecr.pull(node, [AIRFLOW], report=printed.append)
    assert printed[0] == "worker-1: waiting for ECR to issue a token to its instance's role"
    assert len(printed) == 2


def test_a_missing_role_is_reported_with_the_helpers_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.images.ecr.ROLE_TIMEOUT_SECONDS", -1)
    node = runner(lacks=AIRFLOW).on(PULL, NO_ROLE)
    with pytest.raises(RemoteError, match="no EC2 IMDS role found") as caught:
        ecr.pull(node, [AIRFLOW], report=lambda _: None)
    assert "pull images from ECR by the role of the machine's instance" in str(caught.value)


def test_refused_credentials_are_reported_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(
        RegistryError, match="ECR did not issue a token to push images with"
    ) as caught:
        login("eu-central-1", "nobody")
    assert "docs/aws.md" in str(caught.value)

"""Amazon's registry: how a node pulls, and how the operator signs in."""

import pytest

from infra import ecr
from infra.machines import target_packages
from infra.registry import RegistryError
from infra.remote.fake import FakeRunner
from infra.remote.machine import Machine
from infra.remote.runner import Completed, RemoteError

target_packages.use("aws")
from infra.machines.aws_ecr import sign_in  # noqa: E402

REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
AIRFLOW = f"{REGISTRY}/dairflow-test/airflow@sha256:{'a' * 64}"
REDIS = f"{REGISTRY}/dairflow-test/redis@sha256:{'b' * 64}"
NO_ROLE = Completed(stdout="", stderr="no EC2 IMDS role found", exit_status=1)


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


def test_a_node_that_has_every_image_is_not_touched() -> None:
    node = runner(lacks="")
    ecr.pull(node, [AIRFLOW, REDIS], report=pytest.fail)
    assert len(node.commands) == 1


def test_only_what_is_missing_is_pulled_by_the_helper_and_the_role() -> None:
    node, said = runner(lacks=f"{REDIS}\n"), []
    ecr.pull(node, [AIRFLOW, REDIS], report=said.append)
    install, ask, pull = node.commands[1:]
    assert "amazon-ecr-credential-helper" in install
    assert "docker-credential-ecr-login get" in ask
    assert f'{{"credHelpers": {{"{REGISTRY}": "ecr-login"}}}}' in pull
    assert f"pull --quiet {REDIS}" in pull
    assert said[0].startswith("worker-1: pulled 1 image(s) from ECR")


def test_the_helper_keeps_no_token() -> None:
    node = runner(lacks=AIRFLOW)
    ecr.pull(node, [AIRFLOW], report=lambda _: None)
    for command in node.commands[2:]:
        assert "AWS_ECR_DISABLE_CACHE=true" in command
        assert "trap 'rm -rf \"$folder\"' EXIT" in command


def test_a_role_that_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.ecr._POLL_SECONDS", 0)
    node, said = runner(lacks=AIRFLOW), []
    node.on("docker-credential-ecr-login get", NO_ROLE, NO_ROLE, "")
    ecr.pull(node, [AIRFLOW], report=said.append)
    assert said[0] == "worker-1: waits for its instance's role to be known to ECR"
    assert len(said) == 2


def test_a_role_that_never_comes_is_told_with_the_helpers_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.ecr.ROLE_TIMEOUT_SECONDS", -1)
    node = runner(lacks=AIRFLOW).on("docker-credential-ecr-login get", NO_ROLE)
    with pytest.raises(RemoteError, match="no EC2 IMDS role found") as caught:
        ecr.pull(node, [AIRFLOW], report=lambda _: None)
    assert "ask ECR for a token by the role of the machine's instance" in str(caught.value)


def test_refused_credentials_are_told_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RegistryError, match="ECR gives no token to push images with") as caught:
        sign_in("eu-central-1", "nobody")
    assert "docs/aws.md" in str(caught.value)

"""The embedded registry: what is sent to the manager, and what is never shown."""

import io
import re
import tarfile

import bcrypt
import pytest

from infra.images import registry
from infra.images.registry import RegistrySpec
from infra.remote.machine import Machine
from infra.remote.runner import Completed
from tests.fake_remote import FakeRunner

MANAGER = Machine(
    name="manager-1",
    role="manager",
    address="127.0.0.1",
    host_key="ssh-ed25519 AAAA",
    private_address="10.213.0.11",
)
SPEC = RegistrySpec(
    image="dairflow/registry:abc",
    certificate="a certificate",
    private_key="a private key",
    password="a password",
)
FAILED = Completed(stdout="", stderr="no such thing", exit_status=1)


def manager(fingerprint: str, *, has_image: bool) -> FakeRunner:
    runner = FakeRunner(MANAGER)
    runner.on("docker create --name dairflow-registry-next")
    runner.on("docker rename dairflow-registry-next dairflow-registry")
    runner.on("docker load")
    runner.on("docker image inspect", *([""] if has_image else [FAILED, ""]))
    runner.on("docker inspect --format", f"{fingerprint}\n")
    return runner


def saved() -> bytes:
    return b"archive"


def test_what_runs_already_is_left_alone() -> None:
    runner = manager(SPEC.fingerprint(), has_image=True)
    registry.ensure(runner, SPEC, save_image=saved)
    assert len(runner.commands) == 1


def test_the_image_is_sent_only_if_it_is_missing() -> None:
    runner = manager("", has_image=True)
    registry.ensure(runner, SPEC, save_image=saved)
    assert not any("docker load" in command for command in runner.commands)

    runner = manager("", has_image=False)
    registry.ensure(runner, SPEC, save_image=saved)
    assert [call.stdin for call in runner.calls if "docker load" in call.command] == [b"archive"]


def test_the_one_that_runs_is_replaced_when_the_next_is_complete() -> None:
    """A `docker load` or `create` that fails leaves what runs as it is."""
    runner = manager("another", has_image=False)
    registry.ensure(runner, SPEC, save_image=saved)
    removals = ("docker stop ", "docker rm -f -v dairflow-registry ")
    *before, swap = runner.commands
    assert not [command for command in before if any(one in command for one in removals)]
    assert "\nCONTAINER=dairflow-registry\n" in swap
    assert all(f'{one} "$CONTAINER"' in swap for one in ("docker stop", "docker rm -f -v"))


def test_the_image_is_looked_up_by_its_name() -> None:
    """Its ID is another one in containerd's image store."""
    runner = manager("", has_image=True)
    registry.ensure(runner, SPEC, save_image=saved)
    assert any(f"docker image inspect {SPEC.image}" in command for command in runner.commands)
    assert not any("sha256:" in command for command in runner.commands)


@pytest.mark.parametrize(
    "field", ["image", "certificate", "private_key", "password", "former_password"]
)
def test_any_other_content_recreates_it(field: str) -> None:
    values = {name: getattr(SPEC, name) for name in RegistrySpec.__dataclass_fields__}
    other = RegistrySpec(**(values | {field: "another"}))
    runner = manager(other.fingerprint(), has_image=True)
    registry.ensure(runner, SPEC, save_image=saved)
    assert any("docker create" in command for command in runner.commands)


def test_the_secrets_travel_as_files_that_only_root_reads() -> None:
    runner = manager("", has_image=True)
    registry.ensure(runner, SPEC, save_image=saved)
    shown = "\n".join(runner.commands)
    assert SPEC.password not in shown
    assert SPEC.private_key not in shown
    assert shown.count(f"-v /{registry.FOLDER} ") == 1, "the container's root is read-only"
    assert f"docker cp - dairflow-registry-next:/{registry.FOLDER}" in shown
    files = {}
    sent = runner.calls[-2].stdin
    assert sent
    with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
        for entry in archive:
            assert (entry.mode, entry.uid) == (0o600, 0)
            content = archive.extractfile(entry)
            assert content
            files[entry.name] = content.read()
    assert files["tls.key"] == SPEC.private_key.encode()
    assert files["tls.crt"] == SPEC.certificate.encode()
    user, hashed = files["htpasswd"].strip().split(b":", 1)
    assert user.decode() == registry.user_of(SPEC.password)
    assert bcrypt.checkpw(SPEC.password.encode(), hashed)


def test_nothing_of_it_is_outside_of_the_engines_disk() -> None:
    """The engine's disk outlives a node that is recreated, and starts the registry by itself."""
    runner = manager("", has_image=True)
    registry.ensure(runner, SPEC, save_image=saved)
    assert not runner.files
    mounts = re.findall(r"-v (\S+):", runner.commands[-2])
    assert mounts == [registry.VOLUME]


def test_neither_is_shown_by_repr() -> None:
    assert SPEC.password not in repr(SPEC)
    assert SPEC.private_key not in repr(SPEC)


def test_an_unreachable_registry_is_reported_with_what_to_do() -> None:
    from infra.credentials import registry_certificate

    endpoint = registry.Endpoint(
        host="127.0.0.1",
        port=1,
        authority=registry_certificate(["127.0.0.1"]).authority,
        password="p",
    )
    with pytest.raises(registry.RegistryError, match="pulumi up --refresh"):
        registry.digest(endpoint, "airflow", "latest")

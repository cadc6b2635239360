"""The dynamic providers as the engine sees them: a process that answers gRPC.

Catches what a call in Python does not: a provider that does not unpickle, inputs that do not
survive the wire, unknown values in a preview, a traceback in front of the user.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import struct_pb2
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from infra.resources.keys import RegistryCertificateProvider, SecretsProvider, SshKeyProvider
from infra.resources.local import LocalNetworkProvider
from infra.resources.operator_files import OperatorFilesProvider
from infra.stack.secrets import SECRET_NAMES

pytestmark = pytest.mark.contract
ROOT = Path(__file__).parents[2]
URN = "urn:pulumi:test::dairflow::pulumi-python:dynamic/x:X::x"


def spawn(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Engine:
    """What the Pulumi engine does with a dynamic provider."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.channel = grpc.insecure_channel(f"127.0.0.1:{process.stdout.readline().strip()}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)
        self.stub.Configure(provider_pb2.ConfigureRequest())

    def create(self, provider: Any, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(urn=URN, properties=self._struct(provider, inputs))
        answer = self.stub.Create(request)
        return answer.id, plain(answer.properties)

    def changes(
        self, provider: Any, olds: dict[str, Any], news: dict[str, Any]
    ) -> tuple[bool, set]:
        request = provider_pb2.DiffRequest(
            id="x", urn=URN, olds=self._struct(provider, olds), news=self._struct(provider, news)
        )
        answer = self.stub.Diff(request)
        return answer.changes == provider_pb2.DiffResponse.DIFF_SOME, set(answer.replaces)

    def update(self, provider: Any, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            id="x", urn=URN, olds=self._struct(provider, olds), news=self._struct(provider, news)
        )
        return plain(self.stub.Update(request).properties)

    def read(self, provider: Any, id_: str, props: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.ReadRequest(
            id=id_, urn=URN, properties=self._struct(provider, props)
        )
        answer = self.stub.Read(request)
        return answer.id, plain(answer.properties)

    def delete(self, provider: Any, id_: str, props: dict[str, Any]) -> None:
        request = provider_pb2.DeleteRequest(
            id=id_, urn=URN, properties=self._struct(provider, props)
        )
        self.stub.Delete(request)

    @staticmethod
    def _struct(provider: Any, values: dict[str, Any]) -> struct_pb2.Struct:
        struct = struct_pb2.Struct()
        struct.update({**values, "__provider": serialize_provider(provider)})
        return struct


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    return {k: v for k, v in MessageToDict(struct).items() if k != "__provider"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    process = spawn(DOCKER_HOST="tcp://127.0.0.1:1")
    yield Engine(process)
    process.kill()
    process.communicate()


def test_secrets_are_made_once_and_kept(engine: Engine) -> None:
    provider = SecretsProvider()
    names = [*SECRET_NAMES, "registry_password", "naming_key"]
    older = [name for name in names if name != "jwt_secret"]
    _, first = engine.create(provider, {"names": older})
    assert set(first["values"]) == set(older)
    changed, replaces = engine.changes(provider, first, {"names": names})
    assert changed
    assert not replaces
    second = engine.update(provider, first, {"names": names})
    assert set(second["values"]) == set(names)
    assert {name: second["values"][name] for name in older} == first["values"]
    assert second["cluster_id"] == first["cluster_id"]


def test_a_secret_that_nothing_needs_any_more_leaves_the_state(engine: Engine) -> None:
    provider = SecretsProvider()
    _, first = engine.create(provider, {"names": SECRET_NAMES})
    older = {
        **first,
        "names": [*SECRET_NAMES, "celery_results_password"],
        "values": {**first["values"], "celery_results_password": "of an older release"},
    }
    changed, replaces = engine.changes(provider, older, {"names": SECRET_NAMES})
    assert changed
    assert not replaces
    second = engine.update(provider, older, {"names": SECRET_NAMES})
    assert second["values"] == first["values"]
    assert second["cluster_id"] == first["cluster_id"]


def test_a_secret_is_rotated_once_for_each_number(engine: Engine) -> None:
    provider = SecretsProvider()
    inputs = {"names": SECRET_NAMES, "rotations": {}, "given": {}}
    _, first = engine.create(provider, inputs)
    asked = {**inputs, "rotations": {"redis_password": 1, "fernet_key": 1}}
    assert engine.changes(provider, first, asked) == (True, set())
    second = engine.update(provider, first, asked)
    changed = {name for name, value in first["values"].items() if second["values"][name] != value}
    assert changed == {"redis_password", "fernet_key"}
    assert second["values"]["fernet_keys_retired"] == first["values"]["fernet_key"]
    assert engine.changes(provider, second, asked) == (False, set())
    third = engine.update(provider, second, {**asked, "rotations": {"redis_password": 1}})
    assert third["values"] == second["values"]


def test_the_key_of_tokens_before_the_present_one_is_kept_and_no_older_one(engine: Engine) -> None:
    provider = SecretsProvider()
    inputs = {"names": SECRET_NAMES, "rotations": {}, "given": {}}
    _, first = engine.create(provider, inputs)
    assert "jwt_secret_retired" not in first["values"]
    asked = {**inputs, "rotations": {"jwt_secret": 1}}
    second = engine.update(provider, first, asked)
    assert second["values"]["jwt_secret"] != first["values"]["jwt_secret"]
    assert second["values"]["jwt_secret_retired"] == first["values"]["jwt_secret"]
    other = {**inputs, "rotations": {"jwt_secret": 1, "redis_password": 1}}
    third = engine.update(provider, second, other)
    assert third["values"]["jwt_secret_retired"] == first["values"]["jwt_secret"]
    fourth = engine.update(provider, third, {**inputs, "rotations": {"jwt_secret": 2}})
    assert fourth["values"]["jwt_secret_retired"] == second["values"]["jwt_secret"]


def test_a_key_of_the_users_is_taken_and_the_one_before_kept(engine: Engine) -> None:
    provider = SecretsProvider()
    inputs = {"names": SECRET_NAMES, "rotations": {}, "given": {}}
    _, first = engine.create(provider, {**inputs, "given": {"fernet_key": "mine"}})
    assert first["values"]["fernet_key"] == "mine"
    second = engine.update(provider, first, {**inputs, "given": {"fernet_key": "next"}})
    third = engine.update(provider, second, {**inputs, "given": {"fernet_key": "last"}})
    assert third["values"]["fernet_key"] == "last"
    assert third["values"]["fernet_keys_retired"] == "next,mine"


def test_the_registrys_former_password_is_kept_until_the_next_rotation(engine: Engine) -> None:
    provider = SecretsProvider()
    inputs = {"names": [*SECRET_NAMES, "registry_password"], "rotations": {}, "given": {}}
    _, first = engine.create(provider, inputs)
    assert "registry_password_retired" not in first["values"]
    second = engine.update(provider, first, {**inputs, "rotations": {"registry_password": 1}})
    third = engine.update(provider, second, {**inputs, "rotations": {"registry_password": 2}})
    for before, after in ((first, second), (second, third)):
        assert after["values"]["registry_password_retired"] == before["values"]["registry_password"]


def test_stacks_from_before_the_naming_key_keep_their_secrets_names(engine: Engine) -> None:
    provider = SecretsProvider()
    inputs = {"names": [*SECRET_NAMES, "naming_key"], "rotations": {}, "given": {}}
    _, first = engine.create(provider, inputs)
    old = {**first, "values": {k: v for k, v in first["values"].items() if k != "naming_key"}}
    asked = {**inputs, "rotations": {"fernet_key": 1}}
    new = engine.update(provider, old, asked)["values"]
    assert new["naming_key"] == first["values"]["fernet_key"]


def test_a_key_pair_changes_by_a_rotation_alone(engine: Engine) -> None:
    provider = SshKeyProvider()
    _, first = engine.create(provider, {})
    assert first["public_key"].startswith("ssh-ed25519 ")
    assert engine.changes(provider, first, {}) == (False, set())
    assert engine.changes(provider, first, {"rotation": 1}) == (True, set())
    before = {name: value for name, value in first.items() if name != "former_keys"}
    second = engine.update(provider, before, {"rotation": 1})
    third = engine.update(provider, second, {"rotation": 2})
    assert third["former_keys"] == [second["private_key"], first["private_key"]]
    assert len({each["public_key"] for each in (first, second, third)}) == 3
    assert {**engine.update(provider, third, {}), "rotation": 2} == third


def test_other_addresses_replace_the_certificate(engine: Engine) -> None:
    provider = RegistryCertificateProvider()
    _, made = engine.create(provider, {"addresses": ["127.0.0.1"]})
    assert engine.changes(provider, made, {"addresses": ["127.0.0.1"]}) == (False, set())
    _, replaces = engine.changes(provider, made, {"addresses": ["127.0.0.2"]})
    assert replaces == {"addresses"}


def test_an_unknown_value_in_a_preview_counts_as_a_change(engine: Engine) -> None:
    provider = LocalNetworkProvider()
    olds = {"network": "n", "cluster": "a", "published": {}}
    _, replaces = engine.changes(provider, olds, {**olds, "cluster": UNKNOWN})
    assert replaces == {"cluster"}


def test_the_network_of_an_older_stack_is_not_a_change(engine: Engine) -> None:
    olds = {"network": "n", "cluster": "a", "published": {}}
    news = {**olds, "present": True}
    assert engine.changes(LocalNetworkProvider(), olds, news) == (False, set())
    assert engine.changes(LocalNetworkProvider(), {**olds, "present": False}, news)[0]


def test_a_failure_is_one_message_without_a_traceback() -> None:
    process = spawn(DOCKER_HOST="tcp://127.0.0.1:1")
    try:
        inputs = {"network": "n", "cluster": "a", "published": {"webPort": 8080}}
        with pytest.raises(grpc.RpcError) as caught:
            Engine(process).create(LocalNetworkProvider(), inputs)
    finally:
        process.kill()
        _, errors = process.communicate()
    assert "Docker does not answer on this machine" in caught.value.details()
    assert "make setup" in caught.value.details()
    assert "Traceback" not in errors


def test_operator_files_are_made_read_and_removed(engine: Engine, tmp_path: Path) -> None:
    folder = os.path.relpath(tmp_path / "stack", ROOT)
    machine = {
        "name": "manager-1",
        "role": "manager",
        "address": "127.0.0.1",
        "port": 2222.0,
        "user": "root",
        "host_key": "ssh-ed25519 AAAA",
        "private_address": "10.0.0.1",
        "labels": {},
    }
    provider = OperatorFilesProvider()
    props = {"folder": folder, "machines": [machine], "private_key": "key", "written": True}
    id_, made = engine.create(provider, props)
    assert "  Port 2222\n" in (tmp_path / "stack" / "ssh_config").read_text()
    assert engine.changes(provider, made, props) == (False, set())
    (tmp_path / "stack" / "known_hosts").unlink()
    _, found = engine.read(provider, id_, made)
    assert engine.changes(provider, found, props) == (True, set())
    engine.delete(provider, id_, made)
    assert not (tmp_path / "stack").exists()


def test_it_ends_when_pulumi_was_killed(tmp_path: Path) -> None:
    """A killed engine cannot notify its plugins; an orphan must not keep changing machines.

    The plugin is started as the engine does: by the script that comes with the language host.
    """
    pids = tmp_path / "pid"
    parent_code = (
        "import subprocess, sys, pathlib, time\n"
        "p = subprocess.Popen(['pulumi-resource-pulumi-python'],"
        " stdout=subprocess.PIPE, text=True)\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{p.pid}} {{p.stdout.readline().strip()}}')\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    deadline = time.monotonic() + 60
    while not (pids.exists() and " " in pids.read_text()):
        assert time.monotonic() < deadline, "the provider did not start"
        time.sleep(0.05)
    pid, port = pids.read_text().split()
    engine = Engine.__new__(Engine)
    engine.stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    engine.stub.Configure(provider_pb2.ConfigureRequest())
    engine.create(SshKeyProvider(), {})
    (python,) = psutil.Process(int(pid)).children()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while _runs(python.pid):
        assert time.monotonic() < deadline, "the provider outlived its engine"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"

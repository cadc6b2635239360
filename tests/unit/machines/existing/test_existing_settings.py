"""The list of hosts: what is accepted, and one report of every mistake without any secret."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from infra.remote.keys import generate_key_pair
from infra.settings.model import Settings
from infra.settings.parse import SettingsError
from tests.unit.parsed import parse

PAIR = generate_key_pair()
MANAGER = {
    "name": "first",
    "address": "192.0.2.1",
    "role": "manager",
    "hostKey": f"{PAIR.public} a comment",
    "password": "the-secret",
}
WORKER = {
    "name": "second",
    "address": "host.example",
    "privateAddress": "10.0.0.2",
    "role": "worker",
    "hostKey": "accept-once",
    "password": "the-secret",
}
COUNTS = {"managers": 1, "workers": 2}
"""What Pulumi hands over for settings that were not made."""


def existing(*hosts: Any, **more: Any) -> Settings:
    return parse({"target": "existing", **COUNTS, "hosts": list(hosts), **more})


def refusal(*hosts: Any, **more: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        existing(*hosts, **more)
    text = str(caught.value)
    assert "the-secret" not in text
    return text


def test_a_list_of_hosts_is_read_with_its_defaults() -> None:
    settings = existing(MANAGER, WORKER, adopt="true")
    first, second = settings.hosts
    assert (first.port, first.user, first.private_address) == (22, "root", "192.0.2.1")
    assert first.host_key == PAIR.public
    assert (second.host_key, second.private_address) == ("accept-once", "10.0.0.2")
    assert settings.adopt
    assert not settings.remove_engine


def test_the_nodes_are_counted() -> None:
    third = {**WORKER, "name": "third", "privateAddress": "10.0.0.3", "port": 2222}
    settings = existing(MANAGER, WORKER, third)
    assert (settings.managers, settings.workers) == (1, 2)


def test_no_password_is_shown_when_settings_are() -> None:
    assert "the-secret" not in repr(existing(MANAGER, WORKER))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role": "boss"}, "hosts[1].role: 'boss' is not valid. Use 'manager' or 'worker'"),
        ({"name": "Second!"}, "hosts[1].name: 'Second!' is not valid. Use lower-case letters"),
        (
            {"name": "first"},
            "hosts[1].name: 'first' is not valid. Use a value other than that of hosts[0]",
        ),
        (
            {"address": "192.0.2.1"},
            "hosts[1].address: '192.0.2.1' is not valid. Use a value other than",
        ),
        ({"address": "192.0.2"}, "hosts[1].address: '192.0.2' is not valid. Use an IPv4 address"),
        ({"address": "2001:db8::1"}, "hosts[1].address: '2001:db8::1' is not valid. Use an IPv4"),
        ({"privateAddress": "host"}, "hosts[1].privateAddress: 'host' is not valid. Use an IPv4"),
        ({"privateAddress": None}, "hosts[1].privateAddress: must be set. Use the host's own"),
        ({"port": "0"}, "hosts[1].port: '0' is not valid. Use 1 or more"),
        ({"port": "ssh"}, "hosts[1].port: 'ssh' is not valid. Use a whole number"),
        ({"user": "a b"}, "hosts[1].user: 'a b' is not valid. Use the name of a user"),
        (
            {"hostKey": "ssh-dss AAAA"},
            "hosts[1].hostKey: 'ssh-dss AAAA' is not valid. Use ssh-e",
        ),
        ({"hostKey": PAIR.public[:-9]}, "Use a whole key: this one is cut off or altered"),
        ({"hostKey": "trust"}, "; or accept-once"),
        ({"password": None}, "hosts[1].privateKeyFile: must be set. Use the file of the key"),
        ({"password": ""}, "hosts[1].password: the value (not shown) is not valid. Use "),
        ({"pasword": "the-secret"}, "hosts[1].pasword: unknown setting."),
        (
            {"privateKeyFile": "no/such"},
            "hosts[1].privateKeyFile: 'no/such' is not valid. Use a readable",
        ),
        ({"labels": {"dairflow.x": "y"}}, "Use other keys than dairflow.x"),
        (
            {"labels": "rack"},
            "hosts[1].labels: 'rack' is not valid. Use an object, set with --pa",
        ),
        ({"port": True}, "hosts[1].port: True is not valid. Use a whole number"),
        ({"pasword": "x"}, "unknown setting. Did you mean password?"),
        ({"jump": {"adress": "192.0.2.9"}}, "unknown setting. Did you mean address?"),
        ({"host_key": PAIR.public}, "unknown setting. Did you mean hostKey?"),
        ({"privateKeyFile": PAIR.private}, "hosts[1].privateKeyFile: the value (not shown) is n"),
        ({"jump": {"address": "192.0.2.9"}}, "hosts[1].jump.hostKey: must be set"),
        (
            {"jump": {"address": "192.0.2.9", "hostKey": "accept-once"}},
            "hosts[1].jump.hostKey: 'accept-once' is not valid. Use ssh-ed25519",
        ),
    ],
)
def test_a_mistake_in_a_host_is_reported_with_its_path(
    change: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(MANAGER, {**WORKER, **change})


@pytest.mark.parametrize(
    ("hosts", "more", "expected"),
    [
        ([], {}, "hosts: must be set. Use a list of hosts"),
        (
            ["first"],
            {},
            "hosts[0]: 'first' is not valid. Use an object, set with --path 'hosts[0].addr",
        ),
        ([WORKER], {}, "hosts: no host is a manager. Use one host with the role manager"),
        ([MANAGER], {}, "hosts: no host is a worker. Use at least one host"),
        (
            [MANAGER, {**MANAGER, "name": "b"}, WORKER],
            {},
            "hosts: 2 hosts are managers. Use an odd",
        ),
        ([MANAGER, WORKER], {"workers": "5"}, "workers: must not be set. With target e"),
        (
            [MANAGER, WORKER],
            {"rotateSecrets": {"operator_key": 1}},
            "rotateSecrets.operator_key: must not be set. The hosts have your own key",
        ),
        ([MANAGER, WORKER], {"adopt": "maybe"}, "adopt: 'maybe' is not valid. Use true or false"),
        ([MANAGER, WORKER], {"target": "local"}, "hosts: must not be set. It belongs to target ex"),
    ],
)
def test_a_mistake_in_the_list_is_reported(hosts: Any, more: dict[str, Any], expected: str) -> None:
    assert expected in refusal(*hosts, **more)


def test_a_value_that_is_not_a_list_is_not_shown() -> None:
    broken = '[{"name": "first", "password": "the-secret"'
    with pytest.raises(SettingsError) as caught:
        parse({"target": "existing", **COUNTS, "hosts": broken})
    assert "hosts: the value (not shown) is not valid. Use a list, set with --path" in str(
        caught.value
    )
    assert "the-secret" not in str(caught.value)


def test_digits_are_text_if_text_is_expected() -> None:
    settings = existing(MANAGER, {**WORKER, "name": 7, "labels": {"rack": 7}})
    assert (settings.hosts[1].name, settings.hosts[1].labels) == ("7", {"rack": "7"})


def test_every_mistake_is_reported_at_once() -> None:
    text = refusal({**MANAGER, "role": "x"}, {**WORKER, "port": "x", "hostKey": "x"}, webPort="0")
    for key in ("hosts[0].role", "hosts[1].port", "hosts[1].hostKey", "hosts", "webPort"):
        assert f"  {key}: " in text
    assert "pulumi config set webPort VALUE" in text


def test_the_command_for_a_host_has_its_path() -> None:
    text = refusal({**MANAGER, "role": "x"}, WORKER)
    assert "pulumi config set --path 'hosts[0].role' VALUE" in text


def test_a_key_file_is_a_private_key_without_a_passphrase(tmp_path: Path) -> None:
    good, public, locked = tmp_path / "good", tmp_path / "good.pub", tmp_path / "locked"
    good.write_text(PAIR.private)
    public.write_text(PAIR.public)
    locked.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"a passphrase")
        )
    )
    for file in (good, locked):
        file.chmod(0o600)
    with_key = {**WORKER, "password": None}
    existing(MANAGER, {**with_key, "privateKeyFile": str(good)})
    assert "the private half of a key" in refusal(
        MANAGER, {**with_key, "privateKeyFile": str(public)}
    )
    readable = tmp_path / "readable"
    readable.write_text(PAIR.private)
    readable.chmod(0o640)
    assert "run `chmod 600` on it" in refusal(
        MANAGER, {**with_key, "privateKeyFile": str(readable)}
    )
    assert "a key without a passphrase" in refusal(
        MANAGER, {**with_key, "privateKeyFile": str(locked)}
    )

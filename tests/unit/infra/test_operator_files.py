"""The operator's SSH files: what OpenSSH itself reads from them, their modes, their removal."""

import contextlib
import shlex
import socket as socket_module
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra import operator_files
from infra.remote.keys import generate_key_pair
from infra.remote.login import Login
from infra.remote.machine import Jump, Machine

KEY = generate_key_pair()


@pytest.fixture
def machines() -> list[Machine]:
    return [
        Machine(
            name=name,
            role=role,
            address="127.0.0.1",
            port=port,
            host_key=KEY.public,
            private_address="10.0.0.1",
        )
        for name, role, port in (("manager-1", "manager", 2201), ("worker-1", "worker", 2202))
    ]


def effective(folder: Path, host: str) -> dict[str, str]:
    """Return OpenSSH's own reading of the configuration."""
    command = ["ssh", "-G", "-F", str(folder / "ssh_config"), host]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in printed.splitlines() if " " in line)


def test_openssh_finds_each_machine(tmp_path: Path, machines: list[Machine]) -> None:
    operator_files.write(tmp_path / "stack", machines, KEY.private)
    found = effective(tmp_path / "stack", "worker-1")
    assert (found["hostname"], found["port"], found["user"]) == ("127.0.0.1", "2202", "root")
    assert found["stricthostkeychecking"] in {"true", "yes"}
    assert found["identityfile"] == str(tmp_path / "stack" / "id_ed25519")


def test_a_machine_with_its_own_sign_in_is_reached_with_it_by_way_of_its_jump_host(
    tmp_path: Path, machines: list[Machine]
) -> None:
    jump = Jump(address="192.0.2.9", host_key=KEY.public, port=2209, user="gate")
    behind = replace(machines[1], jump=jump, user="admin")
    logins = {
        "manager-1": Login(password="the-secret"),
        "worker-1": Login(key_file="/keys/own", jump_key_file="/keys/gate"),
    }
    operator_files.write(tmp_path, [machines[0], behind], "", logins)
    first, second = effective(tmp_path, "manager-1"), effective(tmp_path, "worker-1")
    assert first["preferredauthentications"] == "keyboard-interactive,password"
    assert (second["identityfile"], second["user"]) == ("/keys/own", "admin")
    assert second["proxyjump"] == "worker-1-jump"
    through = effective(tmp_path, "worker-1-jump")
    assert (through["hostname"], through["port"], through["user"]) == ("192.0.2.9", "2209", "gate")
    assert through["identityfile"] == "/keys/gate"
    assert "the-secret" not in "".join(file.read_text() for file in tmp_path.iterdir())
    assert not (tmp_path / "id_ed25519").exists()


def test_only_the_owner_reads_them(tmp_path: Path, machines: list[Machine]) -> None:
    folder = tmp_path / "stack"
    operator_files.write(folder, machines, KEY.private)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [folder, *folder.iterdir()]}
    assert modes == {"stack": 0o700, "id_ed25519": 0o600, "known_hosts": 0o600, "ssh_config": 0o600}


def test_a_change_is_seen_and_mended(tmp_path: Path, machines: list[Machine]) -> None:
    operator_files.write(tmp_path, machines, KEY.private)
    assert operator_files.are_written(tmp_path, machines, KEY.private)
    (tmp_path / "ssh_config").write_text("")
    assert not operator_files.are_written(tmp_path, machines, KEY.private)
    operator_files.write(tmp_path, machines[:1], KEY.private)
    assert operator_files.are_written(tmp_path, machines[:1], KEY.private)


def test_they_are_removed_also_twice(tmp_path: Path, machines: list[Machine]) -> None:
    operator_files.write(tmp_path / "stack", machines, KEY.private)
    operator_files.remove(tmp_path / "stack")
    operator_files.remove(tmp_path / "stack")
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(
    "name",
    ["with space", "it's", 'say "hi"', "100%h", "größe-数据", "back\\slash", "$HOME", "x" * 150],
)
def test_any_folder_name_works(tmp_path: Path, machines: list[Machine], name: str) -> None:
    folder = tmp_path / name / "stack"
    operator_files.write(folder, machines, KEY.private)
    found = effective(folder, "worker-1")
    # `ssh -G` prints both before it expands percent signs.
    assert found["identityfile"].replace("%%", "%") == str(folder / "id_ed25519")
    assert found["userknownhostsfile"].replace("%%", "%") == str(folder / "known_hosts")


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "größe", "x" * 200])
def test_the_printed_commands_are_words_of_a_shell(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    config = str(folder / "ssh_config")
    assert shlex.split(operator_files.ssh_command(folder, "manager-1")) == [
        "ssh", "-F", config, "manager-1",
    ]  # fmt: skip
    words = shlex.split(operator_files.docker_context_command(folder, "manager-1", "context"))
    assert words[words.index("-F") + 1] == config
    socket, _, remote = words[words.index("-L") + 1].partition(":")
    assert remote == "/var/run/docker.sock"
    assert f"host=unix://{socket}" in words
    with contextlib.closing(socket_module.socket(socket_module.AF_UNIX)) as listener:
        Path(socket).parent.mkdir(parents=True, exist_ok=True)
        listener.bind(f"{socket}.123456789012")  # as ssh does before it renames it
    Path(f"{socket}.123456789012").unlink()

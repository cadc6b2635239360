"""Scripts for machines: their parameters are data, whatever they contain."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.remote.script import script
from infra.swarm import commands, facts

INFRA = Path(__file__).resolve().parents[3] / "infra"


def run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "name", ["$(id)", "a'b", 'a"b', "line\nline", "`id`; exit 3", "*", "a  b", "$HOME", "\\"]
)
def test_a_parameter_is_never_read_as_code(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    command = script("machines/existing/scripts/list_orphans.sh", LEAVE_FILE=str(path))
    assert "leave" not in run(command).stdout.splitlines()
    path.touch()
    assert "leave" in run(command).stdout.splitlines()


@pytest.mark.parametrize(
    "parameters",
    [{}, {"LEAVE_FILE": "/x", "OTHER": "y"}, {"leave_file": "/x"}],
    ids=["too few", "too many", "another"],
)
def test_parameters_are_those_that_the_script_declares(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="LEAVE_FILE"):
        script("machines/existing/scripts/list_orphans.sh", **parameters)


@pytest.mark.parametrize(
    "command",
    [facts.SCRIPT, commands.LOAD_FIREWALL, commands.INSTALL_NODE, commands.REMOVE_ENGINE],
    ids=["facts", "firewall", "installation", "removal"],
)
def test_a_command_is_valid_posix_shell_with_its_name_first(command: str) -> None:
    assert run(f"set -n\n{command}").stderr == ""
    assert command.startswith("# ")
    assert "\n. infra/" not in command
    assert "# shellcheck" not in command


def test_every_script_is_used() -> None:
    """By a module, or by another script that includes it."""
    scripts = list(INFRA.rglob("*.sh"))
    users = [path.read_text() for path in (*INFRA.rglob("*.py"), *scripts)]
    names = [str(path.relative_to(INFRA)) for path in scripts]
    assert len(names) > 20
    assert [name for name in names if not any(name in text for text in users)] == []

"""`env.sh` in real shells, with a home folder of its own."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Shell = Callable[..., subprocess.CompletedProcess[str]]

SOURCE = Path(__file__).parents[3] / "env.sh"
SHELLS = [name for name in ("bash", "zsh") if shutil.which(name)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone that is set up, at a path with a space in it."""
    return make_clone(tmp_path / "a clone")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return another clone that is set up."""
    return make_clone(tmp_path / "other")


def make_clone(root: Path) -> Path:
    for folder in (".dairflow/bin", ".dairflow/pulumi", ".venv/bin"):
        (root / folder).mkdir(parents=True)
    (root / ".dairflow" / "passphrase").touch()
    for program in (".dairflow/bin/pulumi", ".venv/bin/python"):
        (root / program).write_text(f'#!/bin/sh\necho "{root.name}: $*"\n')
        (root / program).chmod(0o755)
    (root / "Pulumi.yaml").touch()
    (root / "infra").mkdir()
    shutil.copy(SOURCE, root)
    return root


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, clone: Path, tmp_path: Path) -> Shell:
    """Return a function that sources env.sh from another folder and runs a line after it."""
    home = tmp_path / "home"
    home.mkdir()

    def run(
        line: str, *, before: str = ":", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        script = f'{before}; . "{clone}/env.sh"; {line}'
        return subprocess.run(
            [str(shutil.which(request.param)), "-euc", script],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"} | environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )

    return run


def test_plain_commands_are_the_projects(shell: Shell, clone: Path) -> None:
    out = shell("sh -c 'command -v pulumi; command -v python'").stdout.splitlines()
    assert out == [f"{clone}/.dairflow/bin/pulumi", f"{clone}/.venv/bin/python"]


def test_sourcing_twice_changes_nothing(shell: Shell, clone: Path) -> None:
    once = shell("env | sort").stdout
    twice = shell("env | sort", before=f'. "{clone}/env.sh"').stdout
    assert once == twice


def variables(printed: str) -> dict[str, str]:
    """Return what `env` printed, without the shell's own counters."""
    pairs = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    return {name: value for name, value in pairs.items() if name not in ("_", "SHLVL", "OLDPWD")}


def test_the_clone_that_is_sourced_last_owns_the_shell(shell: Shell, other: Path) -> None:
    alone = variables(shell("env").stdout)
    after_another = variables(shell("env", before=f'. "{other}/env.sh"').stdout)
    assert after_another == alone


@pytest.mark.parametrize("folder", ["", "infra"])
def test_pulumi_does_not_run_in_another_clone(shell: Shell, other: Path, folder: str) -> None:
    done = shell(f'cd "{other / folder}"; pulumi destroy --yes || echo "status $?"')
    assert done.stdout == "status 1\n"
    assert "a clone" in done.stderr
    assert "Run `. ./env.sh` here first" in done.stderr


def test_pulumi_runs_in_its_own_clone_and_outside_of_clones(
    shell: Shell, clone: Path, tmp_path: Path
) -> None:
    for folder in (clone, clone / "infra", tmp_path, Path("/")):
        assert shell(f'cd "{folder}"; pulumi up --yes').stdout == "a clone: up --yes\n"


def test_a_users_own_settings_outlive_the_change_of_clones(shell: Shell, other: Path) -> None:
    own = "export PULUMI_CONFIG_PASSPHRASE_FILE=/my/passphrase PULUMI_BACKEND_URL=s3://team"
    out = variables(shell("env", before=f'{own}; . "{other}/env.sh"').stdout)
    assert out["PULUMI_CONFIG_PASSPHRASE_FILE"] == "/my/passphrase"
    assert out["PULUMI_BACKEND_URL"] == "s3://team"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"http_proxy": "http://proxy:3128"}, "localhost,127.0.0.1,::1"),
        (
            {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "a.example"},
            "a.example,localhost,127.0.0.1,::1",
        ),
        (
            {"https_proxy": "http://proxy:3128", "no_proxy": "127.0.0.1,b"},
            "127.0.0.1,b,localhost,::1",
        ),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "*"}, "*"),
    ],
)
def test_a_proxy_is_not_used_for_this_machine(
    shell: Shell, given: dict[str, str], expected: str
) -> None:
    out = variables(shell("env", **given).stdout)
    assert (out["no_proxy"], out["NO_PROXY"]) == (expected, expected)


def test_without_a_proxy_nothing_is_printed_about_one(shell: Shell) -> None:
    assert not {"no_proxy", "NO_PROXY"} & variables(shell("env").stdout).keys()


def test_a_shell_without_a_home_gets_the_users(shell: Shell) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert variables(shell("env", before="unset HOME").stdout)["HOME"] == home


def test_the_projects_folders_come_first_even_when_they_were_on_path(
    shell: Shell, clone: Path
) -> None:
    out = shell("echo $PATH", before=f'PATH="$PATH:{clone}/.venv/bin:/usr/sbin"').stdout.strip()
    assert out == f"{clone}/.dairflow/bin:{clone}/.venv/bin:/usr/bin:/bin:/usr/sbin"


def test_the_projects_own_backend_and_passphrase_are_the_default(shell: Shell, clone: Path) -> None:
    out = shell("env").stdout
    assert f"PULUMI_HOME={clone}/.dairflow/pulumi\n" in out
    assert f"PULUMI_CONFIG_PASSPHRASE_FILE={clone}/.dairflow/passphrase\n" in out
    assert f"PULUMI_PYTHON_CMD={clone}/.venv/bin/python\n" in out
    assert "PULUMI_SKIP_UPDATE_CHECK=true\n" in out
    # The backend is a login in that home, which a later `pulumi login` replaces.
    assert "PULUMI_BACKEND_URL" not in out
    assert "PULUMI_CREDENTIALS_PATH" not in out


def test_a_users_own_login_wins(shell: Shell) -> None:
    login = 'mkdir ~/.pulumi; echo \'{"current": "https://api.example"}\' > '
    out = shell("env; echo home=$HOME", before=f"{login} ~/.pulumi/credentials.json").stdout
    home = out.split("home=")[-1].strip()
    assert f"PULUMI_CREDENTIALS_PATH={home}/.pulumi\n" in out


def test_a_user_who_has_logged_out_again_gets_the_projects_backend(shell: Shell) -> None:
    logout = 'mkdir ~/.pulumi; echo \'{"current": ""}\' > ~/.pulumi/credentials.json'
    assert "PULUMI_CREDENTIALS_PATH" not in shell("env", before=logout).stdout


def test_an_access_token_wins(shell: Shell) -> None:
    out = shell("env", before="export PULUMI_ACCESS_TOKEN=token").stdout
    assert "PULUMI_CREDENTIALS_PATH=" in out


def test_a_users_own_backend_and_passphrase_stay(shell: Shell) -> None:
    before = "export PULUMI_BACKEND_URL=s3://team PULUMI_CONFIG_PASSPHRASE="
    out = shell("env", before=before).stdout
    assert "PULUMI_BACKEND_URL=s3://team\n" in out
    assert "PULUMI_CONFIG_PASSPHRASE=\n" in out
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in out


def test_a_clone_that_is_not_set_up_is_reported(shell: Shell, clone: Path) -> None:
    assert shell("true").stderr == ""
    shutil.rmtree(clone / ".dairflow")
    assert "make setup" in shell("true").stderr


def test_it_leaves_no_names_of_its_own_behind(shell: Shell) -> None:
    assert "_dairflow" not in shell("set").stdout.split("BASH_EXECUTION_STRING")[0]

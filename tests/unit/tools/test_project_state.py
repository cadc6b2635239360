import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.paths import Paths
from tools.project_state import ProjectState, write_passphrase

PULUMI = """
[ -z "$PULUMI_BACKEND_URL$PULUMI_ACCESS_TOKEN$PULUMI_CREDENTIALS_PATH" ] || exit 9
printf '{"current": "%s"}' "$2" > "$PULUMI_HOME/credentials.json"
"""


@pytest.fixture
def state(paths: Paths, printed: list[str], programs: Callable[..., Path]) -> ProjectState:
    program = programs("pulumi", PULUMI)
    return ProjectState(paths=paths, pulumi=lambda: str(program), say=printed.append)


def test_a_new_clone_gets_a_backend_and_a_passphrase(state: ProjectState, paths: Paths) -> None:
    assert state.check() is None
    state.install()
    assert state.check() == f"file://{paths.state}/state"
    passphrase = paths.state / "passphrase"
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert len(passphrase.read_text().strip()) >= 40


def test_a_users_login_in_the_projects_home_is_kept(state: ProjectState, paths: Paths) -> None:
    state.install()
    credentials = paths.pulumi_home / "credentials.json"
    credentials.write_text(json.dumps({"current": "s3://team-state"}))
    assert state.check() == "s3://team-state"
    (paths.state / "passphrase").unlink()
    state.install()
    assert state.check() == "s3://team-state"


def test_a_moved_clone_is_logged_in_again_with_its_old_passphrase(
    state: ProjectState, paths: Paths
) -> None:
    state.install()
    before = (paths.state / "passphrase").read_text()
    credentials = paths.pulumi_home / "credentials.json"
    credentials.write_text(json.dumps({"current": "file:///old/place/.dairflow/state"}))
    assert state.check() is None
    state.install()
    assert state.check() == f"file://{paths.state}/state"
    assert (paths.state / "passphrase").read_text() == before


def test_the_users_own_backend_settings_do_not_reach_the_projects_login(
    state: ProjectState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://elsewhere")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "token")
    state.install()
    assert state.check() is not None


def test_a_passphrase_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("precious")
    with pytest.raises(FileExistsError):
        write_passphrase(file)
    assert file.read_text() == "precious"

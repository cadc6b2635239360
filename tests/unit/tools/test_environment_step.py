from collections.abc import Callable
from pathlib import Path

import pytest

from tools import versions
from tools.environment import LockedEnvironment, Uv
from tools.errors import SetupError
from tools.paths import Paths, digest_of_files

MakeProgram = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("programs")
SYNC = """
echo "$*" >> calls
mkdir -p .venv/bin
printf '#!/bin/sh\\n' > .venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def uv(paths: Paths, printed: list[str]) -> Uv:
    (paths.repository / "dag_builder").mkdir()
    (paths.repository / "tools").mkdir()
    for file in ("uv.lock", "pyproject.toml", "dag_builder/pyproject.toml"):
        (paths.repository / file).write_text(file)
    (paths.repository / "tools" / "uv-requirements.txt").write_text("uv\n")
    return Uv(paths=paths, say=printed.append)


def environment(paths: Paths, uv: Uv, printed: list[str]) -> LockedEnvironment:
    return LockedEnvironment(paths=paths, uv=uv, say=printed.append)


def own_uv(programs: MakeProgram, version: str, script: str = "") -> Path:
    answer = f'if [ "$1" = --version ]; then echo "uv {version}"; exit; fi'
    return programs("uv", f"{answer}\n{script}")


def test_the_users_own_uv_is_used(uv: Uv, programs: MakeProgram) -> None:
    program = own_uv(programs, versions.UV)
    assert uv.program() == program


def test_an_old_uv_is_not(uv: Uv, programs: MakeProgram) -> None:
    own_uv(programs, "0.1.0")
    assert uv.check() is None


def test_the_environment_follows_the_lock(
    paths: Paths, uv: Uv, printed: list[str], programs: MakeProgram
) -> None:
    own_uv(programs, versions.UV, SYNC)
    step = environment(paths, uv, printed)
    assert step.check() is None
    step.install()
    assert (paths.repository / "calls").read_text() == "sync --frozen --compile-bytecode\n"
    assert step.check() is not None
    (paths.repository / "uv.lock").write_text("another lock")
    assert step.check() is None


def test_uvs_own_cache_is_named_before_it_is_filled(
    paths: Paths,
    uv: Uv,
    printed: list[str],
    programs: MakeProgram,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_uv(programs, versions.UV, SYNC)
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    environment(paths, uv, printed).install()
    assert f"its own cache, {paths.cache.parent}/uv)" in printed[-1]
    monkeypatch.setenv("UV_CACHE_DIR", "/large/uv")
    environment(paths, uv, printed).install()
    assert "its own cache, /large/uv)" in printed[-1]


def test_a_sync_that_fails_is_done_again(
    paths: Paths, uv: Uv, printed: list[str], programs: MakeProgram
) -> None:
    own_uv(programs, versions.UV, "echo 'no such package' >&2; exit 2")
    step = environment(paths, uv, printed)
    with pytest.raises(SetupError, match="no such package"):
        step.install()
    assert step.check() is None


def test_no_python_is_downloaded_behind_the_users_back(
    paths: Paths, uv: Uv, printed: list[str], programs: MakeProgram
) -> None:
    own_uv(programs, versions.UV, f'{SYNC}\necho "$UV_PYTHON_DOWNLOADS $UV_PYTHON" > asked')
    environment(paths, uv, printed).install()
    policy, interpreter = (paths.repository / "asked").read_text().split()
    assert policy == "never"
    assert Path(interpreter).is_file()


def test_a_second_clone_links_the_cached_uv(paths: Paths, uv: Uv, printed: list[str]) -> None:
    requirements = paths.repository / "tools" / "uv-requirements.txt"
    cached = paths.cached("uv", versions.UV, digest_of_files(requirements)) / "uv"
    cached.parent.mkdir(parents=True)
    cached.write_text("#!/bin/sh\n")
    assert uv.check() is None
    uv.install()
    assert uv.check() == str(cached)
    assert (paths.programs / "uv").resolve() == cached
    assert printed == []

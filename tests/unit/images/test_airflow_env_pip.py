"""PyPI's part of `airflow_env`, against an index of wheels that the test makes and serves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from airflow_env import layers, locks, pypi
from airflow_env.errors import BuildError
from airflow_env.prefix import Prefix
from airflow_env.pypi_names import from_pypi
from airflow_env.requirements import Requirement, digest, read_pip
from airflow_env.steps import Sources, make_pip_part

from tests.package_sources import Index, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path) -> Index:
    index = Index(tmp_path / "index")
    index.add("alpha", "1.0", ["shared>=1"])
    index.add("alpha", "2.0", ["shared>=2"])
    index.add("beta", "1.0", ["shared<2"])
    for version in ("1.0", "2.0", "3.0"):
        index.add("shared", version)
    return index


@pytest.fixture(autouse=True)
def url(index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(index.folder) as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        yield url


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    """An environment with a Python and no packages."""
    prefix = Prefix(path=tmp_path / "env")
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, prefix.path], check=True)
    return prefix


@pytest.fixture
def by_conda(prefix: Prefix) -> Prefix:
    """The same with `shared` 2.0, installed by conda for the sake of `tool`."""
    (site,) = prefix.site_packages()
    about = site / "shared-2.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shared\nVersion: 2.0\n")
    (about / "INSTALLER").write_text("conda\n")
    (about / "RECORD").write_text("shared.py,,\n")
    (site / "shared.py").write_text("FROM = 'conda'\n")
    meta = prefix.path / "conda-meta"
    meta.mkdir()
    inside = site.relative_to(prefix.path)
    files = [f"{inside}/shared.py", f"{inside}/shared-2.0.dist-info/METADATA"]
    for name, depends, owned in (("tool", ["shared >=1"], []), ("shared", [], files)):
        record = {"name": name, "depends": depends, "files": owned}
        (meta / f"{name}-2.0-0.json").write_text(json.dumps(record))
    return prefix


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Run pip's step on an environment; return the folder of the layers."""

    def run(prefix: Prefix, *, pip: str, conda: str = "python\n") -> Path:
        sources = tmp_path / "sources"
        sources.mkdir(exist_ok=True)
        (sources / "conda_requirements.txt").write_text(conda)
        (sources / "pip_requirements.txt").write_text(pip)
        make_pip_part(Sources(folder=sources), prefix, tmp_path / "layers")
        return tmp_path / "layers"

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.dist-info")}


def test_what_conda_installed_stays_as_it_is(
    make: Callable[..., Path], by_conda: Prefix, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(by_conda, pip="alpha\nshared\n")
    assert names(made) == {"alpha-2.0.dist-info", "shared-2.0.dist-info"}
    (module,) = made.rglob("shared.py")
    assert module.read_text() == "FROM = 'conda'\n"
    assert "1 packages from PyPI resolved now (no pip_requirements.lock" in capsys.readouterr().out


def test_a_package_that_only_conda_has_is_accepted(
    make: Callable[..., Path], by_conda: Prefix, index: Index
) -> None:
    for wheel in (index.folder / "shared").iterdir():
        wheel.unlink()
    assert "alpha-2.0.dist-info" in names(make(by_conda, pip="alpha\n"))


def test_a_conflict_between_the_two_files_names_both_lines(
    make: Callable[..., Path], by_conda: Prefix
) -> None:
    message = (
        r"these requirements exclude each other:\n"
        r"    pip_requirements.txt:2: beta\n"
        r"    conda_requirements.txt:2: tool \(needs it\) → conda chose shared 2.0\n"
        r"uv says:\n(.*\n)+Loosen or remove one of these lines."
    )
    with pytest.raises(BuildError, match=message):
        make(by_conda, pip="alpha\nbeta\n", conda="python\ntool\n")
    assert names(by_conda.path) == {"shared-2.0.dist-info"}


def test_a_conflict_within_the_pip_file_names_both_lines(
    make: Callable[..., Path], prefix: Prefix
) -> None:
    message = (
        r"pip_requirements.txt:1: alpha==2.0\n    pip_requirements.txt:3: beta\n(.*\n)+.*shared<2"
    )
    with pytest.raises(BuildError, match=message):
        make(prefix, pip="alpha==2.0\n# a comment\nbeta\n")


def test_without_a_channel_both_files_are_resolved_together(
    make: Callable[..., Path], prefix: Prefix
) -> None:
    with pytest.raises(BuildError, match=r"txt:2: alpha=2 → alpha==2.\*\n.*pip_\S+txt:1: beta\n"):
        make(prefix, pip="beta\n", conda="python\nalpha=2  # pypi: alpha\n")
    made = make(prefix, pip="beta\n", conda="python\nother-name=1  # pypi: alpha\n")
    assert names(made) == {f"{name}-1.0.dist-info" for name in ("alpha", "beta", "shared")}


def test_a_lock_decides_until_the_requirements_change(
    make: Callable[..., Path],
    prefix: Prefix,
    index: Index,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "conda_requirements.txt").write_text("python\n")
    (sources / "pip_requirements.txt").write_text("alpha\n")
    asked = Sources(folder=sources).asked()
    plan = pypi.plan(asked, prefix)
    locks.write(
        sources / plan.lock, plan.facts, pypi.resolve(plan, asked, prefix, sources, upgrade=False)
    )
    index.add("shared", "4.0")
    assert "shared==3.0" in pypi.choose(plan, asked, prefix, sources)
    assert capsys.readouterr().out == "airflow_env: 2 packages from PyPI by pypi_only.lock\n"
    assert "shared==4.0" in pypi.resolve(plan, asked, prefix, sources, upgrade=True)
    # Another line: what is locked stays, and a message is printed.
    index.add("gamma", "1.0")
    made = make(prefix, pip="alpha\ngamma\n")
    assert "shared-3.0.dist-info" in names(made)
    out = capsys.readouterr().out
    assert "resolved now (pypi_only.lock is for other requirements; `make lock` keeps" in out
    # The image has a list of what is in it.
    (kept,) = made.rglob("pip_requirements.lock")
    assert "gamma==1.0" in kept.read_text()


def test_another_wheel_than_the_locked_one_is_refused(prefix: Prefix) -> None:
    text = "beta==1.0 --hash=sha256:" + "0" * 64
    with pytest.raises(BuildError, match=r"could not be installed:(.|\n)*[Hh]ash mismatch"):
        pypi.install(text, prefix)


def test_a_file_of_conda_s_is_not_replaced_unnoticed(
    make: Callable[..., Path], by_conda: Prefix, index: Index
) -> None:
    index.add("rude", "1.0", files={"shared.py": b"FROM = 'rude'\n"})
    with pytest.raises(BuildError, match=r"shared.py: of rude from PyPI, and of shared from conda"):
        make(by_conda, pip="rude\n")


def test_files_that_the_build_does_not_see_are_all_refused(
    make: Callable[..., Path], prefix: Prefix
) -> None:
    with pytest.raises(BuildError, match=r"txt:1: -r more.txt: .*\n.*txt:2: ./local: names a file"):
        make(prefix, pip="-r more.txt\n./local\nalpha\n")


def test_a_user_s_package_changes_one_layer_only(
    make: Callable[..., Path], prefix: Prefix, index: Index, tmp_path: Path
) -> None:
    index.add("mine", "1.0", ["alpha", "helper"])
    index.add("helper", "1.0")
    own = f"alpha\n{OWN}\n"
    made: list[dict[str, set[str]]] = []
    for pip in (own, f"{own}mine\n"):
        target = make(prefix, pip=pip)
        made.append(
            {
                layer.name: {
                    f"{path.relative_to(layer)} {path.readlink() if path.is_symlink() else ''}"
                    f"{path.read_bytes() if path.is_file() and not path.is_symlink() else ''}"
                    for path in layer.rglob("*")
                }
                for layer in target.iterdir()
            }
        )
        target.rename(tmp_path / f"layers-{len(made)}")
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, prefix.path], check=True)
    before, after = made
    assert {name for name in before if before[name] != after[name]} == {layers.YOURS}
    changed = " ".join(after[layers.YOURS] - before[layers.YOURS])
    assert re.search(r"mine.*helper|helper.*mine", changed, re.DOTALL)
    assert "alpha" not in re.sub(r"METADATA .*|pip_requirements.lock .*", "", changed)


OWN = "# Your packages go below this line."

LOCK = """\
airflow==3
    # via -r pip_requirements.txt
both==1
    # via
    #   airflow
    #   pandas
numpy==2
    # via pandas
pandas==3
    # via
    #   -r conda_requirements.txt
    #   mine
mine==1
    # via -r pip_requirements.txt
Its_Own==1
    # via mine
"""


def test_what_several_need_is_of_the_layer_that_changes_least() -> None:
    pip = [
        Requirement(file="pip_requirements.txt", line=1, text="airflow==3", own=True),
        Requirement(file="pip_requirements.txt", line=3, text="mine"),
    ]
    assert layers.assign(LOCK, pip) == {
        "airflow": "",
        "both": "",
        "pandas": layers.CONDA,
        "numpy": layers.CONDA,
        "mine": layers.YOURS,
        "its-own": layers.YOURS,
    }


@pytest.mark.parametrize(
    ("conda", "pip"),
    [
        ("numpy", "numpy"),
        ("numpy=2", "numpy==2.*"),
        ("numpy =2.1", "numpy==2.1.*"),
        ("numpy==2.1.0", "numpy==2.1.0"),
        ("numpy 2.1.*", "numpy==2.1.*"),
        ("numpy>=2,<3", "numpy>=2,<3"),
        ("numpy~=2.1", "numpy~=2.1"),
        ("conda-forge::numpy!=2.1.0", "numpy!=2.1.0"),
        ("matplotlib-base>=3", "matplotlib>=3"),
        ("pytorch", "torch"),
    ],
)
def test_conda_s_versions_are_written_in_pypi_s_terms(conda: str, pip: str) -> None:
    requirement = Requirement(file="conda_requirements.txt", line=1, text=conda)
    assert [text for _, text in from_pypi([requirement])] == [pip]


def test_comments_and_spaces_do_not_make_a_lock_stale(tmp_path: Path) -> None:
    (tmp_path / "pip_requirements.txt").write_text("one==1\ntwo\n")
    first = digest(read_pip(tmp_path))
    (tmp_path / "pip_requirements.txt").write_text("# why\n\none==1  # because\n  two\n")
    assert digest(read_pip(tmp_path)) == first
    (tmp_path / "pip_requirements.txt").write_text("one==1\ntwo>1\n")
    assert digest(read_pip(tmp_path)) != first

"""The package as it is built for the image and for others: by the locked uv, with no downloads."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import dag_builder
from tools.environment import Uv
from tools.paths import Paths

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "dag_builder" / "src"


@pytest.fixture(scope="module")
def uv() -> str:
    found = Uv(paths=Paths.find(), say=print).program()
    assert found is not None
    return str(found)


@pytest.fixture(scope="module")
def built(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(
        [
            *(uv, "build", "--offline", "--cache-dir", str(folder / "cache")),
            *("--out-dir", str(folder / "built"), str(ROOT / "dag_builder")),
        ],
        check=True,
        capture_output=True,
    )
    return folder / "built"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_has_every_file_of_the_library(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        packaged = {name for name in names if name.startswith("dag_builder/")}
    files = [file for file in (SOURCE / "dag_builder").rglob("*") if file.is_file()]
    assert {
        str(file.relative_to(SOURCE)) for file in files if "__pycache__" not in file.parts
    } == packaged


def test_the_source_distribution_has_what_a_reader_looks_for(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/dag_builder/py.typed"} <= names


def test_the_metadata_is_what_an_index_shows(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert "apache-airflow>=3.2" in metadata.get_all("Requires-Dist", [])
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    description = str(metadata.get_payload())
    assert description.strip() == (ROOT / "dag_builder" / "README.md").read_text().strip()
    assert "](../" not in description, "an index has no other file of the repository"


def test_the_standard_tools_build_and_accept_the_package(tmp_path: Path) -> None:
    """An index shows the README and the metadata only if they pass `twine check`."""
    for command in (
        ["build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT / "dag_builder")],
        ["twine", "check", "--strict", *(str(tmp_path / name) for name in ("*.whl", "*.tar.gz"))],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"dag_builder-{dag_builder.__version__}-py3-none-any.whl",
        f"dag_builder-{dag_builder.__version__}.tar.gz",
    ]


def test_the_license_is_the_project_license() -> None:
    assert (ROOT / "dag_builder" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_command_works_in_a_clean_environment(uv: str, wheel: Path, tmp_path: Path) -> None:
    """Help needs nothing but the package itself: not even Airflow."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in (
        [uv, "venv", "--offline", str(tmp_path / "clean")],
        [
            *(uv, "pip", "install", "--offline", "--no-deps", "--python"),
            *(str(tmp_path / "clean"), str(wheel)),
        ],
    ):
        subprocess.run(command, check=True, capture_output=True, env=environment)
    done = subprocess.run(
        [tmp_path / "clean" / "bin" / "dag-builder", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "check DAGs" in done.stdout

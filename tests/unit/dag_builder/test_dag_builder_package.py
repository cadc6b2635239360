"""The package as it is built for the image: by the locked uv alone, with nothing downloaded."""

import subprocess
import zipfile
from pathlib import Path

from tools.environment import Uv
from tools.paths import Paths

ROOT = Path(__file__).parents[3]


def test_the_locked_uv_builds_it_without_a_network(tmp_path: Path) -> None:
    uv = Uv(paths=Paths.find(), say=print).program()
    assert uv is not None
    subprocess.run(
        [
            *(str(uv), "build", "--wheel", "--offline"),
            *("--cache-dir", str(tmp_path / "cache"), "--out-dir", str(tmp_path / "built")),
            str(ROOT / "dag_builder"),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "built").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packaged = {name for name in archive.namelist() if name.startswith("dag_builder/")}
    source = ROOT / "dag_builder" / "src"
    files = [file for file in (source / "dag_builder").rglob("*") if file.is_file()]
    assert {
        str(file.relative_to(source)) for file in files if "__pycache__" not in file.parts
    } <= packaged

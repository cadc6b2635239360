"""Takes away what packages from PyPI bring and no program of the image reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_env.prefix import from_pip, owned_files

if TYPE_CHECKING:
    from airflow_env.prefix import Prefix

SOURCES = {".pyx", ".pxd"}
"""They were compiled into extension modules."""
TESTED = {"matplotlib", "mpl_toolkits", "numpy", "pandas"}
"""These bring 70 MB of tests, with their bytecode, that nothing imports."""


def trim(prefix: Prefix) -> None:
    """Remove sources of extension modules, their debugging symbols, and big packages' tests."""
    modules: list[str] = []
    for each in prefix.distributions():
        if not from_pip(each):
            continue
        for file in owned_files(each):
            if file.suffix in SOURCES:
                file.unlink(missing_ok=True)
            # Bundled *.libs are left alone: their tools of repair have moved sections that strip
            # would break.
            elif file.suffix == ".so" and not file.parent.name.endswith(".libs"):
                modules.append(str(file))
    for site in prefix.site_packages():
        for package in TESTED:
            for tests in sorted((site / package).rglob("tests")):
                shutil.rmtree(tests, ignore_errors=True)
    present = [module for module in modules if Path(module).is_file()]
    if present:
        subprocess.run(["strip", "--strip-debug", *present], check=True)

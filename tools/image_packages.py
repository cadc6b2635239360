"""The Python packages of the next Airflow image, by their names on PyPI."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "images/airflow"
LOCKS = ("conda_requirements.lock", "pip_requirements.lock", "pypi_only.lock")
REQUIREMENTS = ("conda_requirements.txt", "pip_requirements.txt")
OWN = ("dag-builder", "dairflow")
"""What the image has of this repository."""

_LOCKED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)
_CONDA_FILE = re.compile(r"/([A-Za-z0-9._-]+)-[^-/\s]+-[^-/\s]+\.(?:conda|tar\.bz2)")
_REQUIRED = re.compile(
    r"^(?:\S+::)?([A-Za-z0-9][A-Za-z0-9._-]*)[^#\n]*(?:#\s*pypi:\s*(\S+))?", re.MULTILINE
)


def image_packages(folder: Path = FOLDER) -> list[str]:
    """Return the packages of the lock files and, if these are older, of the requirements.

    Conda's packages have their names on conda, and the name that a comment gives (``# pypi:``).
    """
    found = set(OWN)
    for name in LOCKS:
        text = _text(folder / name)
        found |= {*_LOCKED.findall(text), *_CONDA_FILE.findall(text)}
    for name in REQUIREMENTS:
        for required, on_pypi in _REQUIRED.findall(_text(folder / name)):
            found |= {required, on_pypi or required}
    return sorted(found)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""

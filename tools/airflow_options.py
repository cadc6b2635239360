"""Print the options of the locked Airflow and its providers: python -m tools.airflow_options.

The output is ``infra/airflow_options.txt``: a line for each, ``SECTION.OPTION``, with a star behind
those that Airflow also reads from a command's output. Nothing of Airflow is imported.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

import yaml


def airflow_options() -> list[str]:
    """Return the lines, sorted."""
    sections: dict[str, Any] = {}
    for described in (_of_airflow(), *_of_providers()):
        for section, content in described.items():
            sections.setdefault(section, {}).update(content.get("options") or {})
    return sorted(
        f"{section}.{option}{' *' if described.get('sensitive') else ''}"
        for section, options in sections.items()
        for option, described in options.items()
    )


def _of_airflow() -> dict[str, Any]:
    return yaml.safe_load((_folder() / "config_templates/config.yml").read_text())


def _of_providers() -> list[dict[str, Any]]:
    found = sorted(_folder().glob("providers/**/get_provider_info.py"))
    return [runpy.run_path(str(path))["get_provider_info"]().get("config") or {} for path in found]


def _folder() -> Path:
    spec = importlib.util.find_spec("airflow")
    if spec is None or not spec.origin:
        sys.exit("Airflow is not in this Python: run it with the one of .venv")
    return Path(spec.origin).parent


if __name__ == "__main__":
    print("\n".join(airflow_options()))

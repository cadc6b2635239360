"""Print the options of the locked Airflow and its providers: python -m tools.airflow_options.

The output is ``infra/settings/airflow_options.txt``: a line for each, ``SECTION.OPTION KIND``, with
a star behind those that Airflow also reads from a command's output. A kind is ``string``,
``boolean``, ``integer``, ``float`` or ``timezone``, with a question mark if the option may be
empty, or the values that Airflow takes, separated by ``|``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

_KINDS = {
    "core.default_timezone": "timezone",
    "api.expose_config": "boolean|non-sensitive-only",
}
"""Kinds that Airflow's descriptions do not have; it checks these where it reads them."""

_PRINT_ENUMERATIONS = (
    "import json; from airflow.configuration import conf;"
    "print(json.dumps({'.'.join(name): [str(getattr(value, 'value', value)) for value in values]"
    " for name, values in conf.enums_options.items()}))"
)


def airflow_options() -> list[str]:
    """Return the lines, sorted."""
    sections: dict[str, Any] = {}
    for described in (_of_airflow(), *_of_providers()):
        for section, content in described.items():
            sections.setdefault(section, {}).update(content.get("options") or {})
    kinds = {**_enumerations(), **_KINDS}
    return sorted(
        f"{section}.{option} {kinds.get(f'{section}.{option}') or _kind(described)}"
        f"{' *' if described.get('sensitive') else ''}"
        for section, options in sections.items()
        for option, described in options.items()
    )


def _kind(described: dict[str, Any]) -> str:
    """Return the type that Airflow reads an option as: that of the default if it says `string`."""
    kind, default = described.get("type") or "string", str(described.get("default") or "")
    if kind == "string":
        if default.lower() in {"true", "false"}:
            return "boolean"
        return "integer" if default.isdecimal() else "string"
    return kind if default or described.get("default") in (0, False) else f"{kind}?"


def _enumerations() -> dict[str, str]:
    """Read from Airflow's own class, in a process of its own: the import makes files."""
    with tempfile.TemporaryDirectory() as home:
        printed = subprocess.run(
            [sys.executable, "-c", _PRINT_ENUMERATIONS],
            env={**os.environ, "AIRFLOW_HOME": home},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    values: dict[str, list[str]] = json.loads(printed.splitlines()[-1])
    return {
        name: "|".join(filter(None, allowed)) + ("?" if "" in allowed else "")
        for name, allowed in values.items()
    }


def _of_airflow() -> dict[str, Any]:
    text = (airflow_folder() / "config_templates/config.yml").read_text()
    return yaml.load(text, Loader=yaml.CSafeLoader)


def _of_providers() -> list[dict[str, Any]]:
    found = sorted(airflow_folder().glob("providers/**/get_provider_info.py"))
    return [runpy.run_path(str(path))["get_provider_info"]().get("config") or {} for path in found]


def airflow_folder() -> Path:
    """Return the folder of the installed Airflow."""
    spec = importlib.util.find_spec("airflow")
    if spec is None or not spec.origin:
        sys.exit("Airflow is not in this Python: run it with the one of .venv")
    return Path(spec.origin).parent


if __name__ == "__main__":
    print("\n".join(airflow_options()))

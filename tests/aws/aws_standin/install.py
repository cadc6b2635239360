"""Put the stand-in where Pulumi looks for the ``aws`` plugin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[3]
TARGET_PACKAGES = Path(sys.prefix) / "targets" / "aws"
_PROGRAM = """#!{python}
import sys
sys.path[:0] = {paths!r}
sys.path.append({target!r})
from aws_standin.provider import serve
serve()
"""


def install(folder: Path, environment: Mapping[str, str]) -> None:
    """Install the stand-in, written into ``folder``, into ``environment``'s PULUMI_HOME."""
    version = json.loads((TARGET_PACKAGES / "pulumi_aws" / "pulumi-plugin.json").read_text())
    program = folder / "pulumi-resource-aws"
    program.write_text(
        _PROGRAM.format(
            python=Path(sys.prefix) / "bin" / "python",
            paths=[str(ROOT / "tests" / "aws"), str(ROOT / "tools" / "plugins" / "docker")],
            target=str(TARGET_PACKAGES),
        )
    )
    program.chmod(0o755)
    subprocess.run(
        [
            *("pulumi", "plugin", "install", "resource", "aws", version["version"]),
            *("--file", str(folder), "--reinstall"),
        ],
        env=dict(environment),
        check=True,
        capture_output=True,
    )

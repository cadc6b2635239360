"""``dag-builder new``: a DAG file to start from."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from dag_builder.cli.starters import PYTHON, YAML
from dag_builder.read.keys import DAG_ID, DAG_ID_FORM

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Write the file. Returns 1 if it already exists, or its suffix is unknown."""
    file: Path = options.file
    starters = {".py": PYTHON, ".yaml": YAML, ".yml": YAML}
    starter = starters.get(file.suffix)
    reason = ""
    if starter is None:
        reason = f"{file.name!r} is not a DAG file: the name must end in .py or .yaml"
    elif file.exists():
        reason = f"{file} already exists and is not changed"
    elif not file.parent.is_dir():
        reason = f"there is no folder {file.parent}"
    dag_id = options.dag or re.sub(r"[^A-Za-z0-9_.\-]", "_", file.stem)
    if not DAG_ID.fullmatch(dag_id):
        reason = f"{dag_id!r} is not a valid name for a DAG; valid: {DAG_ID_FORM}"
    if starter is None or reason:
        print(reason, file=sys.stderr)
        return 1
    file.write_text(starter.replace("DAG_ID", dag_id), encoding="utf-8")
    print(f"{file}\nnext: dag-builder check {file} && dag-builder run {file}", file=options.out)
    return 0

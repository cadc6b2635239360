"""The command ``dag-builder eject``, which writes DAGs as plain Airflow Python."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dag_builder.eject.file import Ejected, eject
from dag_builder.eject.refusal import EjectError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Write the DAGs of a file. Returns 1 if one cannot be written, or a file is there already."""
    output: Path | None = options.output
    into_folder = output is not None and (output.is_dir() or output.suffix != ".py")
    path: Path = options.file
    try:
        written = eject(path, tasks=options.tasks, dag_id=options.dag, apart=into_folder)
    except EjectError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    if output is None:
        for one in written:
            print(one.code, end="", file=options.out)
        return 0
    files = {output / one.name if into_folder else output: one for one in written}
    return _write(files, options)


def _write(files: dict[Path, Ejected], options: argparse.Namespace) -> int:
    there = [file for file in files if file.exists()]
    if there and not options.force:
        for file in there:
            print(f"{file} already exists and is not changed; --force replaces it", file=sys.stderr)
        return 1
    for file, one in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(one.code, encoding="utf-8")
        print(file, file=options.out)
    return 0

"""``dag-builder import``: from dag-factory's YAML to ours."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from dag_builder.dag_factory.convert import Converted, convert_file, convert_folder
from dag_builder.errors import DagError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(options: argparse.Namespace) -> int:
    """Convert a file or folder. Returns 1 if something cannot be read, or is there already."""
    if options.file.is_dir():
        return _run_folder(options)
    try:
        converted = convert_file(options.file)
    except (OSError, DagError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.output is None:
        print(converted.to_yaml(), end="", file=options.out)
    elif not _write(converted, options.output, options):
        return 1
    _report({str(options.file): converted.notes}, options)
    return 0


def _run_folder(options: argparse.Namespace) -> int:
    if options.output is None:
        print("a folder is converted into another one: give it with --output", file=sys.stderr)
        return 1
    failed, notes = False, dict[str, list[str]]()
    for place, result in convert_folder(options.file):
        if not isinstance(result, Converted):
            print(f"{options.file / place}:\n{result}\n", file=sys.stderr)
            failed = True
            continue
        notes[str(options.file / place)] = result.notes
        failed |= not _write(result, options.output / place, options)
    _report(notes, options)
    return 1 if failed else 0


def _write(converted: Converted, file: Path, options: argparse.Namespace) -> bool:
    if file.exists():
        print(f"{file} already exists and is not changed", file=sys.stderr)
        return False
    if options.file.is_dir():
        file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(converted.to_yaml(), encoding="utf-8")
    if options.format == "text":
        print(file, file=options.out)
    return True


def _report(notes: dict[str, list[str]], options: argparse.Namespace) -> None:
    if options.format == "json":
        report: dict[str, Any] = {"notes": notes}
        print(json.dumps(report, indent=2, ensure_ascii=False), file=options.out)
        return
    for file, texts in notes.items():
        for text in texts:
            before = f"{file}: " if options.file.is_dir() else ""
            print(f"check: {before}{text}", file=sys.stderr)

"""The command ``dag-builder check``, which says whether every DAG is sound."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from dag_builder.testing.load import Loaded, load

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Print what is wrong. Returns 1 when anything is."""
    found = load(options.paths, options.tasks)
    if not found.errors and not found.dags:
        for path in options.paths:
            found.add_error(str(path), "there is no DAG in it")
    _refuse_what_cannot_be_stored(found)
    if options.format == "json":
        _print_json(found, options)
    elif options.format == "github":
        _print_github(found, options)
    else:
        _print_text(found, options)
    return 1 if found.errors else 0


def _refuse_what_cannot_be_stored(found: Loaded) -> None:
    """The DAG processor stores each DAG as text, and shows what it cannot as an import error."""
    from dag_builder.testing.integrity import stored

    for dag_id, dag in list(found.dags.items()):
        _, reason = stored(dag)
        if reason:
            found.add_error(dag.fileloc, f"{dag_id}\n    Airflow cannot serialize it: {reason}")
            del found.dags[dag_id]


def _print_text(found: Loaded, options: argparse.Namespace) -> None:
    for file, texts in found.errors.items():
        for text in texts:
            print(f"{file}:\n{text}\n", file=sys.stderr)
    for file, texts in found.warnings.items():
        for text in texts:
            print(f"{file}: warning: {text}\n", file=sys.stderr)
    if not options.quiet:
        for file, texts in found.notes.items():
            for text in texts:
                print(f"{file}: note: {text}\n", file=sys.stderr)
        tasks = sum(len(dag.tasks) for dag in found.dags.values())
        broken = f", {len(found.errors)} broken files" if found.errors else ""
        print(f"{len(found.dags)} sound DAGs with {tasks} tasks{broken}", file=options.out)


def _print_json(found: Loaded, options: argparse.Namespace) -> None:
    result = {
        "dags": sorted(found.dags),
        "errors": found.errors,
        "warnings": found.warnings,
        "notes": found.notes,
    }
    print(json.dumps(result, indent=2, ensure_ascii=False), file=options.out)


def _print_github(found: Loaded, options: argparse.Namespace) -> None:
    """The form that GitHub shows beside the file in a pull request."""
    kinds = {"error": found.errors, "warning": found.warnings, "notice": found.notes}
    for kind, texts_by_file in kinds.items():
        for file, texts in texts_by_file.items():
            for text in texts:
                message = text.replace("%", "%25").replace("\n", "%0A")
                print(f"::{kind} file={file}::{message}", file=options.out)

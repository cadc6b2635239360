"""The command ``dag-builder check``, which reports every mistake in DAG files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dag_builder.cluster.check import check as check_cluster
from dag_builder.cluster.description import UnreadableClusterError, read_cluster
from dag_builder.make.plans import keeping
from dag_builder.testing.load import Loaded, load

if TYPE_CHECKING:
    import argparse

    from dag_builder.cluster.description import Cluster


def run(options: argparse.Namespace) -> int:
    """Print what is wrong. Returns 1 if anything is, and 2 if the cluster's file is."""
    try:
        cluster = _cluster(options)
    except UnreadableClusterError as error:
        print(error, file=sys.stderr)
        return 2
    with contextlib.nullcontext() if cluster is None else keeping() as keeper:
        found = load(options.paths, options.tasks)
    if not found.errors and not found.dags:
        for path in options.paths:
            found.add_error(str(path), "there is no DAG in it")
    _refuse_what_cannot_be_stored(found)
    if cluster is not None:
        check_cluster(found, cluster, keeper.built if keeper else ())
    if options.format == "json":
        _print_json(found, options)
    elif options.format == "github":
        _print_github(found, options)
    else:
        _print_text(found, options)
    return 1 if found.errors else 0


def _cluster(options: argparse.Namespace) -> Cluster | None:
    """The cluster of the command line. Raises UnreadableClusterError."""
    if options.cluster is None:
        return None
    return read_cluster(options.cluster)


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
        broken = f", {_counted(len(found.errors), 'file')} with errors" if found.errors else ""
        valid = _counted(len(found.dags), "valid DAG")
        print(f"{valid} ({_counted(tasks, 'task')}){broken}", file=options.out)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _print_json(found: Loaded, options: argparse.Namespace) -> None:
    result = {
        "dags": sorted(found.dags),
        "errors": found.errors,
        "problems": [
            {key: value for key, value in dataclasses.asdict(fault).items() if value}
            for fault in found.faults
        ],
        "warnings": found.warnings,
        "notes": found.notes,
    }
    print(json.dumps(result, indent=2, ensure_ascii=False), file=options.out)


def _print_github(found: Loaded, options: argparse.Namespace) -> None:
    """The form that GitHub shows beside the line in a pull request."""
    for fault in found.faults:
        parts = [fault.message]
        parts += [f"given: {fault.given}"] if fault.given else []
        parts += [f"valid: {fault.valid}"] if fault.valid else []
        parts += [f"did you mean {fault.suggestion!r}?"] if fault.suggestion else []
        parts += [fault.hint] if fault.hint else []
        properties = {"file": _relative(fault.file), "line": fault.line, "col": fault.column}
        _annotate("error", properties | {"title": fault.path}, "\n".join(parts), options)
    for kind, texts_by_file in (("warning", found.warnings), ("notice", found.notes)):
        for file, texts in texts_by_file.items():
            for text in texts:
                _annotate(kind, {"file": _relative(file)}, text, options)


def _annotate(
    kind: str, properties: dict[str, Any], message: str, options: argparse.Namespace
) -> None:
    shown = ",".join(
        f"{key}={_escaped(str(value), ':', ',')}" for key, value in properties.items() if value
    )
    print(f"::{kind} {shown}::{_escaped(message)}", file=options.out)


def _escaped(text: str, *more: str) -> str:
    """Escape text for GitHub's workflow commands."""
    for character in ("%", "\r", "\n", *more):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _relative(file: str) -> str:
    """GitHub finds files by their path in the repository, in which the command runs."""
    try:
        return str(Path(file).resolve().relative_to(Path.cwd()))
    except ValueError:
        return file

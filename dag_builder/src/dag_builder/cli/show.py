"""The command ``dag-builder show``, which prints the structure of DAGs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dag_builder.errors import closest, listed
from dag_builder.show.text import mermaid, tree
from dag_builder.testing.load import Loaded, load

if TYPE_CHECKING:
    import argparse

    from airflow.sdk import DAG


def run(options: argparse.Namespace) -> int:
    """Print the DAGs. Returns 1 if one is broken or missing."""
    found = load(options.paths, options.tasks)
    dags = chosen(found, options.dag)
    for dag in dags:
        print(mermaid(dag) if options.mermaid else tree(dag), file=options.out)
    return 1 if found.errors else 0


def chosen(found: Loaded, dag_id: str | None) -> list[DAG]:
    """The selected DAGs; what is broken or missing is printed to stderr and added to errors."""
    if dag_id is not None and dag_id not in found.dags:
        near = closest(dag_id, found.dags)
        question = f"; did you mean {near!r}?" if near else ""
        found.add_error(dag_id, f"there is no such DAG: {listed(sorted(found.dags))}{question}")
    elif not found.dags and not found.errors:
        found.add_error("nothing found", "there is no DAG in it")
    for file, texts in found.errors.items():
        for text in texts:
            print(f"{file}:\n{text}\n", file=sys.stderr)
    for file, texts in found.notes.items():
        for text in texts:
            print(f"{file}: note: {text}\n", file=sys.stderr)
    if dag_id is None:
        return [found.dags[name] for name in sorted(found.dags)]
    return [found.dags[dag_id]] if dag_id in found.dags else []

"""``dag-builder graph``: a picture of a DAG."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dag_builder.cli.show import chosen
from dag_builder.show.graph import FORMATS, DrawingError, draw
from dag_builder.testing.load import load

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Draw the DAGs. Returns 1 if one is broken, or cannot be drawn."""
    found = load(options.paths, options.tasks)
    dags = chosen(found, options.dag)
    output = options.output
    single = output.suffix in FORMATS
    if single and len(dags) > 1:
        print(
            f"there are {len(dags)} DAGs: choose one with --dag, or give a folder as --output",
            file=sys.stderr,
        )
        return 1
    if not single and output.suffix == "":
        output.mkdir(parents=True, exist_ok=True)
    for dag in dags:
        file = output if single or output.suffix else output / f"{dag.dag_id}.svg"
        try:
            draw(dag, file)
        except DrawingError as error:
            print(error, file=sys.stderr)
            return 1
        print(file, file=options.out)
    return 1 if found.errors else 0

"""``dag-builder import``: from dag-factory's YAML to ours."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dag_builder.dag_factory.convert import convert_file
from dag_builder.errors import DagError

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Convert the file. Returns 1 where it cannot be read."""
    try:
        converted = convert_file(options.file)
    except (OSError, DagError) as error:
        print(error, file=sys.stderr)
        return 1
    text = converted.to_yaml()
    if options.output is None:
        print(text, end="", file=options.out)
    elif options.output.exists():
        print(f"{options.output} is already there and stays as it is", file=sys.stderr)
        return 1
    else:
        options.output.write_text(text, encoding="utf-8")
        print(options.output, file=options.out)
    for note in converted.notes:
        print(f"look at: {note}", file=sys.stderr)
    return 0

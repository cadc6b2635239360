"""``dag-builder schema``: the JSON Schema for editors."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from dag_builder.cluster.description import cluster_schema
from dag_builder.yaml.schema import json_schema

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Print the schema, or write it to a file. Returns 1 if its folder does not exist."""
    schema = cluster_schema() if options.cluster else json_schema()
    text = json.dumps(schema, indent=2, sort_keys=False)
    if options.output is None:
        print(text, file=options.out)
    elif not options.output.parent.is_dir():
        print(f"there is no folder {options.output.parent}", file=sys.stderr)
        return 1
    else:
        options.output.write_text(f"{text}\n", encoding="utf-8")
        print(options.output, file=options.out)
        if not options.cluster:
            print(
                "first line of your YAML files:\n"
                f"# yaml-language-server: $schema={options.output.name}",
                file=options.out,
            )
    return 0

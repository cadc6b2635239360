"""Parses the arguments of ``dag-builder`` and calls the command.

Each command's module is imported when it is used: ``dag-builder --help`` and completion need
nothing of Airflow.
"""

# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
completion: run  eval "$(register-python-argcomplete dag-builder)"  in bash or zsh
exit codes: 0 success, 1 a DAG is broken or failed, 2 the command is wrong
security: a DAG file, YAML too, is code: check, show, graph, eject and run import the modules that
it names and create the objects in it with your rights. Use them only on files that you trust.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    parser = make_parser()
    _complete(parser)
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"dag_builder.cli.{options.module}")
    options.out = sys.stdout
    # Airflow logs to stdout while it is imported. A command's own output stays apart from that.
    beside = contextlib.nullcontext() if options.module == "run" else _stdout_to_stderr()
    try:
        with beside:
            return module.run(options)
    except BrokenPipeError:
        # The reader (head, less) has ended, which is not an error.
        sys.stderr.close()
        return 0


def _stdout_to_stderr() -> contextlib.AbstractContextManager[object]:
    return contextlib.redirect_stdout(sys.stderr)


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="dag-builder",
        description="Airflow DAGs from dictionaries and YAML: check, show, draw and run them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    check = _add(commands, "check", "check DAGs; the exit code is for CI")
    _add_paths(check)
    check.add_argument(
        "--format", choices=["text", "json", "github"], default="text", help="format of the report"
    )
    check.add_argument(
        "--cluster",
        type=Path,
        metavar="FILE",
        help="also check the DAGs against this JSON description of a cluster",
    )
    check.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing if everything is valid"
    )

    show = _add(commands, "show", "show DAGs as a text tree, or as Mermaid")
    _add_paths(show)
    show.add_argument("--dag", metavar="ID", help="only this DAG")
    show.add_argument("--mermaid", action="store_true", help="a flowchart for Markdown")

    graph = _add(commands, "graph", "draw a DAG as SVG or PNG")
    _add_paths(graph)
    graph.add_argument("--dag", metavar="ID", help="only this DAG")
    graph.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="a .svg, .png or .dot file; for several DAGs a folder",
    )

    schema = _add(commands, "schema", "print the JSON Schema that editors check YAML with")
    schema.add_argument(
        "--cluster", action="store_true", help="the schema of the file for check --cluster instead"
    )
    schema.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it to a file")

    new = _add(commands, "new", "write a DAG file with comments to start from")
    new.add_argument("file", type=Path, help="a .py or .yaml file that is not there yet")
    new.add_argument("--dag", metavar="ID", help="the DAG's id; the file's name if left out")

    imported = _add(commands, "import", "convert a YAML file of dag-factory")
    imported.set_defaults(module="import_file")
    imported.add_argument("file", type=Path, help="dag-factory's YAML file, or a folder of them")
    imported.add_argument(
        "--format", choices=["text", "json"], default="text", help="how notes are reported"
    )
    imported.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write ours")

    ejected = _add(commands, "eject", "write DAGs as plain Airflow Python, without dag_builder")
    ejected.add_argument("file", type=Path, help="a DAG file, Python or YAML")
    ejected.add_argument("--dag", metavar="ID", help="only this DAG")
    ejected.add_argument("--tasks", metavar="MODULE", help="the module of a YAML file's functions")
    ejected.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="a .py file, or a folder: it gets a file for each DAG of a YAML file",
    )
    ejected.add_argument("--force", action="store_true", help="replace files that are there")

    run = _add(commands, "run", "run one DAG here, in this process, without a cluster")
    run.add_argument("path", type=Path, help="a DAG file, Python or YAML")
    run.add_argument("--dag", metavar="ID", help="which DAG, if the file has several")
    run.add_argument("--tasks", metavar="MODULE", help="the module of a YAML file's functions")
    run.add_argument("-q", "--quiet", action="store_true", help="only what tasks print, and errors")
    run.add_argument("--conf", metavar="JSON", help="the run's configuration, for params")
    run.add_argument("--date", metavar="DATE", help="the logical date; now if left out")
    run.add_argument(
        "--skip", metavar="PATTERN", help="mark tasks whose id matches as done, do not run them"
    )
    run.add_argument(
        "--connections", type=Path, metavar="FILE", help="a YAML or JSON file of connections"
    )
    run.add_argument(
        "--variables", type=Path, metavar="FILE", help="a YAML or JSON file of variables"
    )
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]
    name: str,
    about: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    command.set_defaults(module=name)
    return command


def _add_paths(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="DAG files (.py, .yaml) or folders"
    )
    command.add_argument("--tasks", metavar="MODULE", help="the module of a YAML file's functions")


def _complete(parser: argparse.ArgumentParser) -> None:
    """Complete the command line for the shell. argcomplete is a dependency of Airflow."""
    try:
        import argcomplete
    except ImportError:  # pragma: no cover - only without Airflow's own dependency
        return
    argcomplete.autocomplete(parser)


if __name__ == "__main__":
    sys.exit(main())

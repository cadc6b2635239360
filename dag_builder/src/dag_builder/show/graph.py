"""Draws a DAG with Graphviz: the one in the pygraphviz wheel, else the ``dot`` on the PATH."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from dag_builder.show.text import dot

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG

FORMATS = (".svg", ".png", ".dot")
_SECONDS_TO_DRAW = 60


class DrawingError(Exception):
    """Graphviz is not installed, or it failed."""


def draw(dag: DAG, file: Path) -> None:
    """Write a picture in the format of the file's suffix. Raises DrawingError."""
    if file.suffix not in FORMATS:
        message = (
            f"unsupported output format {file.name!r}: the name must end in {', '.join(FORMATS)}"
        )
        raise DrawingError(message)
    if not file.parent.is_dir():
        message = f"there is no folder {file.parent}"
        raise DrawingError(message)
    text = dot(dag)
    if file.suffix == ".dot":
        file.write_text(text, encoding="utf-8")
        return
    file.write_bytes(_picture(text, file.suffix.removeprefix(".")))


def _picture(text: str, kind: str) -> bytes:
    try:
        import pygraphviz  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        return _picture_of_program(text, kind)
    graph: Any = pygraphviz.AGraph(string=text)
    return bytes(graph.draw(format=kind, prog="dot"))


def _picture_of_program(text: str, kind: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        message = (
            "Graphviz is not installed: run pip install 'dag-builder[graph]', or install your "
            "system's package graphviz. A .dot file and 'show --mermaid' need neither."
        )
        raise DrawingError(message)
    done = subprocess.run(
        [program, f"-T{kind}"],
        input=text.encode(),
        capture_output=True,
        timeout=_SECONDS_TO_DRAW,
        check=False,
    )
    if done.returncode != 0:
        message = f"{program} failed: {done.stderr.decode(errors='replace').strip()}"
        raise DrawingError(message)
    return done.stdout

"""Ejects the DAGs of a file: reads them, writes them, and compares what was written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dag_builder.eject.blocks import blocks, joined
from dag_builder.eject.compare import compare
from dag_builder.eject.names import Names, import_lines
from dag_builder.eject.refusal import refuse
from dag_builder.eject.source import rewritten
from dag_builder.errors import closest, listed
from dag_builder.make.plans import Built, keeping
from dag_builder.testing.load import load

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Ejected:
    """A Python file that was written: its name and its code."""

    name: str
    code: str


def eject(
    path: Path, *, tasks: str | None = None, dag_id: str | None = None, apart: bool = False
) -> list[Ejected]:
    """Write the DAGs of a Python or YAML file as plain Airflow Python.

    The code was run, and its DAGs are equal to those of the file when Airflow stores them. `tasks`
    is the module of a YAML file's functions, `dag_id` the only DAG to write. With `apart`, each DAG
    of a YAML file is a file of its own; the DAGs of a Python file share its functions and stay
    together.

    Raises EjectError for what cannot be written, with the DAG's mistakes if it has any.
    """
    if path.is_dir():
        refuse(f"{path} is a folder: eject writes the DAGs of one file")
    with keeping() as keeper:
        found = load([path], tasks)
    if found.errors:
        refuse("\n\n".join(text for texts in found.errors.values() for text in texts))
    built = keeper.built
    chosen = [one for one in built if dag_id in (None, one.dag.dag_id)]
    if dag_id in found.dags and not chosen:
        refuse("dag_builder does not build this DAG: it is plain Airflow code", (dag_id,))
    if dag_id is not None and not chosen:
        near = closest(dag_id, found.dags)
        question = f"; did you mean {near!r}?" if near else ""
        refuse(f"there is no such DAG: {listed(sorted(found.dags))}{question}", (dag_id,))
    if not chosen:
        refuse(f"{path}: dag_builder builds no DAG in it")
    if path.suffix == ".py":
        return [_of_python(path, built, chosen, dag_id)]
    parts = [[one] for one in chosen] if apart else [chosen]
    return [_of_yaml(path, part, apart=apart) for part in parts]


def _of_python(
    path: Path, built: Sequence[Built], chosen: Sequence[Built], dag_id: str | None
) -> Ejected:
    for one in chosen:
        if Path(one.file).resolve() != path.resolve():
            reason = f"the DAG is built in another file: eject {one.file}"
            refuse(reason, (one.dag.dag_id,))
    here = [one for one in built if Path(one.file).resolve() == path.resolve()]
    code = rewritten(path.read_text(encoding="utf-8"), here, dag_id)
    name = str(here[0].module["__name__"])
    compare(code, [one.dag for one in chosen], file=here[0].file, name=name)
    return Ejected(name=path.name, code=code)


def _of_yaml(path: Path, built: Sequence[Built], *, apart: bool) -> Ejected:
    names = Names()
    found = joined(blocks(built, names, {}))
    code = "\n".join([*import_lines(names.imports), "", *found, ""])
    stem = built[0].dag.dag_id if apart else path.stem
    name = re.sub(r"[^\w.-]", "_", stem)
    compare(code, [one.dag for one in built], file=str(path), name=f"ejected_{name}")
    return Ejected(name=f"{name}.py", code=code)

"""Airflow DAGs from dictionaries and YAML files.

>>> from dag_builder import build_dag
>>> build_dag("sales", {"extract": [], "load": ["extract"]}, tasks="sales_tasks")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dag_builder.builder import build_dag, build_dags, build_yaml, dag_of
    from dag_builder.errors import DagError, Problem
    from dag_builder.read.operators import register_operator
    from dag_builder.references import argument, output
    from dag_builder.typing import DagDict, GroupDict, TaskDict

__version__ = "0.1.0"
__all__ = [
    "DagDict",
    "DagError",
    "GroupDict",
    "Problem",
    "TaskDict",
    "argument",
    "build_dag",
    "build_dags",
    "build_yaml",
    "dag_of",
    "output",
    "register_operator",
]

_MODULES = {
    "build_dag": "builder",
    "build_dags": "builder",
    "build_yaml": "builder",
    "dag_of": "builder",
    "DagError": "errors",
    "Problem": "errors",
    "register_operator": "read.operators",
    "argument": "references",
    "output": "references",
    "DagDict": "typing",
    "GroupDict": "typing",
    "TaskDict": "typing",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that importing dag_builder costs next to nothing."""
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found

"""What the package exports, and the one module that touches Airflow's internals."""

import ast
from pathlib import Path

import dag_builder

SOURCE = Path(dag_builder.__file__).parent


def _imported(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_one_module_alone_touches_what_airflow_does_not_publish() -> None:
    private = {
        str(file.relative_to(SOURCE)): names
        for file in SOURCE.rglob("*.py")
        if (
            names := {
                name
                for name in _imported(file)
                if name.startswith("airflow.")
                and not (name.startswith("airflow.sdk.") and name.count(".") == 2)
            }
        )
    }
    assert set(private) == {"airflow_internals.py"}


def test_every_public_name_is_listed_and_is_there() -> None:
    assert dag_builder.__all__ == [
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
    assert all(getattr(dag_builder, name) is not None for name in dag_builder.__all__)

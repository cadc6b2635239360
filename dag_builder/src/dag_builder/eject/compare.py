"""Compares the DAGs of code that was written with those that it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.eject.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import DAG

#: Where the file of a DAG is.
_PLACES = frozenset({"fileloc", "relative_fileloc"})


def compare(code: str, dags: Iterable[DAG], *, file: str, name: str) -> None:
    """Run the code and compare its DAGs with `dags`. Raises EjectError if they are not equal."""
    try:
        written = airflow_internals.dags_of_code(code, file=file, name=name)
    except Exception as error:  # noqa: BLE001 - the code runs the author's code as well
        reason = f"the code that would be written fails: {type(error).__name__}: {error}"
        refuse(reason)
    for dag in dags:
        if dag.dag_id not in written:
            refuse("the code that would be written does not make this DAG", (dag.dag_id,))
        found = difference(stored(dag), stored(written[dag.dag_id]))
        if found is not None:
            refuse(f"the code that would be written makes another DAG: {found}", (dag.dag_id,))


def stored(dag: DAG) -> Any:
    """Return what Airflow stores of a DAG, without the place of its file, and tasks by their ids.

    Airflow compares versions of a DAG in this way as well. Raises EjectError for a DAG that it
    cannot store.
    """
    try:
        found = airflow_internals.serialized(dag)["dag"]
    except Exception as error:  # noqa: BLE001 - Airflow raises many kinds
        refuse(f"Airflow cannot serialize this DAG: {error}", (dag.dag_id,))
    tasks = {task["__var"]["task_id"]: task["__var"] for task in found["tasks"]}
    return {key: item for key, item in found.items() if key not in _PLACES} | {"tasks": tasks}


def difference(one: Any, other: Any, path: str = "") -> str | None:
    """Return the first difference between two values of JSON, or None if they are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        first, second = cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other)
        for key in [*first, *(key for key in second if key not in first)]:
            if key in _PLACES:
                continue
            found = difference(first.get(key), second.get(key), f"{path}.{key}" if path else key)
            if found is not None:
                return found
        return None
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        items, others = cast("list[Any]", one), cast("list[Any]", other)
        if len(items) == len(others):
            pairs = enumerate(zip(items, others, strict=True))
            texts = (difference(a, b, f"{path}[{i}]") for i, (a, b) in pairs)
            return next((text for text in texts if text is not None), None)
    return None if one == other else f"{path} is {other!r:.200} and not {one!r:.200}"

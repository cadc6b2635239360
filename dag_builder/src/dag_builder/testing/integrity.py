"""What makes a folder of DAGs sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import listed
from dag_builder.testing.load import Loaded, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow.sdk import DAG


def assert_dags_are_sound(*folders: str | Path, min_dags: int = 1) -> list[DAG]:
    """Load DAG files and folders as Airflow does, and fail with everything that is wrong.

    Sound means: every file imports; no id is there twice; Airflow's safe mode does not skip a
    file; every DAG has tasks, and can be serialized for the scheduler; and parsing the files a
    second time gives the same bytes (else Airflow makes a new version at every parse). `min_dags`
    guards against a folder that was moved. Returns the DAGs, for assertions of your own.
    """
    paths = [Path(folder) for folder in folders]
    found = load(paths)
    faults = list(unsound(found, load(paths) if not found.errors else None, min_dags=min_dags))
    if faults:
        raise AssertionError("\n\n".join([f"{len(faults)} faults in DAGs", *faults]))
    return list(found.dags.values())


def unsound(found: Loaded, again: Loaded | None, *, min_dags: int) -> Iterator[str]:
    """Every fault of what was loaded; `again` is the same loaded once more."""
    for texts_by_file in (found.errors, found.warnings):
        for file, texts in texts_by_file.items():
            yield from (f"{file}:\n{text}" for text in texts)
    if len(found.dags) < min_dags:
        yield f"found {len(found.dags)} DAGs instead of {min_dags} or more: {_names(found)}"
    for dag in found.dags.values():
        if not dag.tasks:
            yield f"{dag.dag_id}: there is no task in it"
            continue
        first, reason = stored(dag)
        if reason:
            yield f"{dag.dag_id}: Airflow cannot serialize it: {reason}"
        elif again is not None and dag.dag_id in again.dags:
            second, _ = stored(again.dags[dag.dag_id])
            if first != second:
                yield (
                    f"{dag.dag_id}: differs when it is parsed again{_difference(first, second)}; "
                    "Airflow would make a new version at every parse. Look for the time of day, "
                    "random values and sets."
                )


def stored(dag: DAG) -> tuple[str, str]:
    """What Airflow stores of a DAG, and why it cannot if it cannot."""
    try:
        return json.dumps(airflow_internals.serialized(dag), default=str), ""
    except Exception as error:  # noqa: BLE001 - Airflow raises many kinds; all are faults of the DAG
        return "", f"{type(error).__name__}: {error}"


def _difference(first: str, second: str) -> str:
    path = next(_differences(json.loads(first), json.loads(second), "dag"), "")
    return f" at {path}" if path else " in the order of its keys"


def _differences(first: Any, second: Any, path: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        first, second = cast("dict[str, Any]", first), cast("dict[str, Any]", second)
        for key in [*first, *(second.keys() - first.keys())]:
            yield from _differences(first.get(key), second.get(key), f"{path}.{key}")
    elif isinstance(first, list) and isinstance(second, list):
        ones, others = cast("list[Any]", first), cast("list[Any]", second)
        if len(ones) != len(others):
            yield f"{path}: {ones!r}, then {others!r}"
            return
        for index, (one, other) in enumerate(zip(ones, others, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif first != second:
        yield f"{path}: {first!r}, then {second!r}"


def _names(found: Loaded) -> str:
    names: Iterable[str] = sorted(found.dags)
    return listed(names) or "none"

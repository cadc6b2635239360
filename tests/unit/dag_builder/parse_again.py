"""Parses a folder's DAG ``x`` twice, as a test does in processes whose sets have another order."""

import json
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization


def stored_twice(folder: str) -> str:
    """Return the hash and the sorted JSON of the DAG; fail if a second parse gives another one."""
    first = _stored(folder)
    assert json.dumps(first) == json.dumps(_stored(folder))
    return f"{SerializedDagModel.hash(first)} {json.dumps(first, sort_keys=True)}"


def _stored(folder: str) -> object:
    bag = DagBag(folder)
    assert not bag.import_errors, bag.import_errors
    return DagSerialization.to_dict(bag.dags["x"])


if __name__ == "__main__":
    sys.stdout.write(f"STORED {stored_twice(sys.argv[1])}\n")

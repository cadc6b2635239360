"""One task for each file, however many there are, spread over the workers.

What it teaches: dynamic mapping. ``files`` returns a list when it runs, ``expand`` has Airflow make
one instance of ``total`` for each item of it, and ``sum_up`` receives the results of all of them as
a list. Add a file to ``data/orders`` and there is one instance more, with no change here.
"""

import csv
import socket
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from dag_builder import build_dag

ORDERS = Path(__file__).parent / "data" / "orders"


def files() -> list[str]:
    """Name the files. Every worker has them, as they are in the image."""
    return [file.name for file in sorted(ORDERS.glob("*.csv"))]


def total(file: str) -> dict[str, Any]:
    """Add up one file; amounts that are none are counted."""
    amounts, wrong = Decimal(0), 0
    with (ORDERS / file).open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            try:
                amounts += Decimal(row["amount"])
            except InvalidOperation:
                wrong += 1
    return {"file": file, "amount": str(amounts), "wrong": wrong, "host": socket.gethostname()}


def sum_up(totals: list[dict[str, Any]]) -> str:
    """Print one line a file, and the sum."""
    for one in totals:
        print(f"{one['file']}: {one['amount']} ({one['wrong']} wrong), counted on {one['host']}")
    amount = sum((Decimal(one["amount"]) for one in totals), Decimal(0))
    print(f"{len(totals)} files: {amount}")
    return str(amount)


build_dag(
    "file_totals",
    {
        "doc_md": __doc__,
        "tags": ["example"],
        "tasks": {
            "files": {"callable": files},
            "total": {
                "callable": total,
                "expand": {"file": {"$output": "files"}},
                "map_index_template": "{{ task.op_kwargs['file'] }}",
            },
            "sum_up": {"callable": sum_up, "arguments": {"totals": {"$output": "total"}}},
        },
    },
)

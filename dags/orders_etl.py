"""Extract, transform, load: orders from CSV files into PostgreSQL.

What it teaches: a full dictionary. Functions and operators stand side by side, a function's
parameter named like an upstream task receives what that task returned, and the load can be run
again at any time because it replaces rows instead of adding them (``ON CONFLICT``). Two runs at a
time would only be in each other's way, so there is one (``max_active_runs``).

The connection ``warehouse`` is a PostgreSQL database for tasks; it is there on laptop and cluster.
"""

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

from dag_builder import build_dag

ORDERS = Path(__file__).parent / "data" / "orders"
TABLES = """
    CREATE SCHEMA IF NOT EXISTS shop;
    CREATE TABLE IF NOT EXISTS shop.orders (
        id integer PRIMARY KEY,
        day date NOT NULL,
        country text NOT NULL,
        amount numeric(10, 2) NOT NULL CHECK (amount > 0)
    );
"""
UPSERT = """
    INSERT INTO shop.orders (id, day, country, amount) VALUES (%s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE
    SET day = excluded.day, country = excluded.country, amount = excluded.amount
"""


def extract() -> list[dict[str, str]]:
    """Read every order as it is in the files."""
    rows = []
    for file in sorted(ORDERS.glob("*.csv")):
        with file.open(newline="", encoding="utf-8") as lines:
            rows.extend(csv.DictReader(lines))
    return rows


def transform(extract: list[dict[str, str]]) -> list[list[str]]:
    """Keep the orders that are complete; say which are not."""
    good = []
    for row in extract:
        try:
            amount = Decimal(row["amount"])
        except InvalidOperation:
            print(f"order {row['id']} left out: {row['amount']!r} is not an amount")
            continue
        if not row["country"]:
            print(f"order {row['id']} left out: it has no country")
            continue
        good.append([row["id"], row["day"], row["country"], str(amount)])
    return good


def load(transform: list[list[str]]) -> int:
    """Write all orders in one transaction."""
    # Imported when the task runs: a DAG file is parsed again and again, so it imports little.
    from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: PLC0415

    with PostgresHook("warehouse").get_conn() as connection, connection.cursor() as cursor:
        cursor.executemany(UPSERT, transform)
    return len(transform)


build_dag(
    "orders_etl",
    {
        "doc_md": __doc__,
        "schedule": "@daily",
        "start_date": "2026-01-01",
        "max_active_runs": 1,
        "tags": ["example"],
        "default_args": {"retries": 2, "retry_delay": "1m"},
        "operator_defaults": {"sql": {"conn_id": "warehouse"}},
        "tasks": {
            "create_tables": {"operator": "sql", "sql": TABLES},
            "extract": [],
            "transform": ["extract"],
            "load": ["create_tables", "transform"],
            "check": {
                "operator": "sql_table_check",
                "conn_id": "warehouse",
                "table": "shop.orders",
                "checks": {
                    "there_are_orders": {"check_statement": "COUNT(*) > 0"},
                    "no_order_is_of_the_future": {"check_statement": "MAX(day) <= CURRENT_DATE"},
                },
                "upstream": ["load"],
            },
        },
    },
)

"""Draw how long the cluster's own tasks took, worker by worker.

What it teaches: packages of your own. pandas and matplotlib come from
``images/airflow/pip_requirements.txt`` (or the conda file) and are in ``airflow_env``; ``python:
airflow_env`` runs a function in it, apart from Airflow's own process. Such a function is sent as
text, so it imports what it needs itself.

It needs the connections ``airflow_history`` (read access to Airflow's table ``task_instance``) and
``warehouse`` (where the picture is kept: ``SELECT png FROM reports.durations``).
"""

from typing import Any

from dag_builder import build_dag

HISTORY = """
    SELECT coalesce(hostname, ''), dag_id, extract(epoch FROM end_date - start_date)::float
    FROM task_instance
    WHERE state = 'success' AND end_date > now() - %s * interval '1 day' AND hostname <> ''
    ORDER BY end_date DESC LIMIT 50000
"""
TABLE = """
    CREATE SCHEMA IF NOT EXISTS reports;
    CREATE TABLE IF NOT EXISTS reports.durations (
        made timestamptz PRIMARY KEY DEFAULT now(), days integer NOT NULL, png bytea NOT NULL
    );
"""


def history(params: dict[str, Any]) -> list[list[Any]]:
    """Read host, DAG and seconds of every task that succeeded lately."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: PLC0415

    rows = PostgresHook("airflow_history").get_records(HISTORY, parameters=(params["days"],))
    return [list(row) for row in rows]


def draw(history: list[list[Any]]) -> str:
    """Draw one box a worker. Return the PNG as base64, which any result store can keep."""
    import base64  # noqa: PLC0415 - this function runs as text, in another Python
    import io  # noqa: PLC0415

    import matplotlib as mpl  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    mpl.use("Agg")  # no display
    from matplotlib import pyplot as plt  # noqa: PLC0415

    tasks = pd.DataFrame(history, columns=["worker", "dag", "seconds"])
    if tasks.empty:
        message = "no task has succeeded in these days; run some DAGs first"
        raise ValueError(message)
    by_worker = tasks.groupby("worker")["seconds"]
    print(by_worker.describe().round(2).to_string())
    figure, axes = plt.subplots(figsize=(8, 1 + 0.6 * by_worker.ngroups), layout="constrained")
    names = sorted(by_worker.groups)
    axes.boxplot([by_worker.get_group(name) for name in names], vert=False)
    axes.set_yticks(
        range(1, len(names) + 1), [f"{n} ({len(by_worker.get_group(n))})" for n in names]
    )
    axes.set_xscale("log")
    axes.set_xlabel("seconds (tasks)")
    axes.set_title("Task durations by worker")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return base64.b64encode(picture.getvalue()).decode("ascii")


def keep(draw: str, params: dict[str, Any]) -> int:
    """Keep the picture in the warehouse. Return its size in bytes."""
    import base64  # noqa: PLC0415

    from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: PLC0415

    png = base64.b64decode(draw)
    with PostgresHook("warehouse").get_conn() as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute(
            "INSERT INTO reports.durations (days, png) VALUES (%s, %s)", (params["days"], png)
        )
    return len(png)


build_dag(
    "cluster_report",
    {
        "doc_md": __doc__,
        "schedule": "0 6 * * 1",
        "start_date": "2026-01-01",
        "tags": ["example"],
        "params": {"days": {"default": 7, "type": "integer", "minimum": 1}},
        "tasks": {
            "history": [],
            "draw": {
                "callable": draw,
                "python": "airflow_env",
                "expect_airflow": False,
                "upstream": ["history"],
            },
            "keep": ["draw"],
        },
    },
)

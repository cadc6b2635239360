"""Draw how long the cluster's own tasks took, worker by worker.

What it teaches: packages of your own, and pictures. pandas and matplotlib are named in
``images/airflow/conda_requirements.txt``, so they are in ``airflow_env`` on every worker; packages
of PyPI go into ``pip_requirements.txt``. A function imports them itself: a DAG's file is parsed
again and again, and its tasks run once. A task that returns a picture as a ``data:`` URL has it
shown on the run's page, under **Pictures**.

The connection ``airflow_history`` may read what ran where and when, and nothing else of Airflow's.
"""

from typing import Any

from dag_builder import build_dag

HISTORY = """
    SELECT hostname, extract(epoch FROM end_date - start_date)::float
    FROM task_instance
    WHERE state = 'success' AND hostname <> '' AND end_date > now() - %s * interval '1 day'
    ORDER BY end_date DESC LIMIT 5000
"""
LEAST_SECONDS = 0.01  # the axis is logarithmic and has no zero


def history(params: dict[str, Any]) -> list[tuple[str, float]]:
    """Read the worker and the seconds of the tasks that succeeded lately."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook  # noqa: PLC0415

    return PostgresHook("airflow_history").get_records(HISTORY, parameters=(params["days"],))


def draw(history: list[tuple[str, float]]) -> str:
    """Draw one box a worker; return the PNG as a ``data:`` URL."""
    if not history:
        message = "no task has succeeded in these days: run another DAG first"
        raise ValueError(message)
    import base64  # noqa: PLC0415
    import io  # noqa: PLC0415

    import pandas as pd  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    tasks = pd.DataFrame(history, columns=["worker", "seconds"])
    tasks["seconds"] = tasks["seconds"].clip(lower=LEAST_SECONDS)
    by_worker = tasks.groupby("worker")["seconds"]
    print(by_worker.describe().round(2).to_string())

    names, seconds = zip(*by_worker, strict=True)
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.boxplot(
        seconds,
        orientation="horizontal",
        tick_labels=[f"{name} ({len(s)})" for name, s in zip(names, seconds, strict=True)],
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("seconds a task")
    axes.set_title("Task durations by worker (number of tasks)")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode("ascii")


build_dag(
    "cluster_report",
    {
        "doc_md": __doc__,
        "schedule": "0 6 * * 1",
        "start_date": "2026-01-01",
        "tags": ["example"],
        "params": {"days": {"default": 7, "type": "integer", "minimum": 1}},
        "tasks": {"history": [], "draw": ["history"]},
    },
)

"""The files that ``dag-builder new`` writes. The tests build and run them."""

PYTHON = '''"""What this DAG is for, in one sentence. Airflow shows it nowhere: see doc_md below."""

from dag_builder import build_dag


def extract():
    """A task is a function. What it returns is kept for the tasks after it."""
    return [3, 1, 2]


def clean(extract):
    """A parameter named like an upstream task receives what that task returned."""
    return sorted(extract)


def load(clean, ds):
    """Airflow fills names of its own, such as ds (the run's date), ti, params and run_id."""
    print(f"{ds}: {clean}")


build_dag(
    "DAG_ID",
    # The tasks, and for each the ones that must be done before it.
    {"extract": [], "clean": ["extract"], "load": ["clean"]},
    # Any key of a DAG can follow. The full form, where tasks have keys as well, is in docs/dags.md.
    schedule="@daily",  # or "0 6 * * 1-5", "10m", None for by hand only, …
    start_date="2026-01-01",
    default_args={"retries": 2, "retry_delay": "5m"},
    tags=["example"],
    doc_md="What this DAG is for.",
)
'''

YAML = """\
# yaml-language-server: $schema=dag-builder.schema.json
# (made by: dag-builder schema -o dag-builder.schema.json; your editor then completes keys)
#
# A Python file beside this one makes it a DAG:
#     from dag_builder import build_yaml  # Airflow looks for the word airflow in DAG files
#     build_yaml("THIS_FILE.yaml")

dag_id: DAG_ID
description: What this DAG is for
schedule: "@daily" # or "0 6 * * 1-5", 10m, null for by hand only, …
start_date: 2026-01-01
default_args: # for every task that does not set them
  retries: 2
  retry_delay: 5m
tags: [example]

tasks:
  extract:
    operator: bash # a short name, or an import path; see: dag-builder schema
    bash_command: echo '[3, 1, 2]'
    do_xcom_push: true
  clean:
    operator: bash
    bash_command: echo "cleaning {{ ti.xcom_pull('extract') }}"
    upstream: [extract]
  load:
    operator: bash
    bash_command: echo "loading for {{ ds }}"
    upstream: [clean]
"""

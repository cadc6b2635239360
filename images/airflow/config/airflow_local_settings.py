"""Airflow imports this as each of its processes starts."""

from dairflow import masking

__all__: list[str] = []

masking.install()

"""Writes DAGs as plain Airflow Python: ``dag-builder eject``."""

"""Makes ``airflow_env`` from conda_requirements.txt and pip_requirements.txt, in that order.

Runs in the Airflow image's build, and in ``make lock``; see docs/airflow-env.md.
"""

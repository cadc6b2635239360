"""Makes Airflow's objects from a plan."""

"""What this project adds to Airflow's own processes: secrets from files, and Celery's results."""

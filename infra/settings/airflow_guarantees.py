"""Options of Airflow's whose default is the project's, and what depends on each.

What nothing can work without is refused (`infra.settings.airflow.OWNED`). The others are the
user's to change: those of `GUARANTEES` with a warning, those of `FREE` without. A unit test
compares the three with what the compose file and the image set.
"""

from __future__ import annotations

_ABSENCES = (
    "With less, a task can fail when the API server or the database is away for up to four minutes,"
    " as in a deployment."
)
_REDIS = "With another value, a task can fail when Redis is away or its machine has vanished."
_CONNECTIONS = (
    "The database has 500 connections for Airflow: with more processes or a larger pool, a large"
    " cluster can use them up, and then no page and no task works."
)
_SECRETS_BACKEND = (
    "It replaces the backend with the connections `warehouse` and `airflow_history`, which DAGs and"
    " examples of the project use; define them in your backend."
)
_LOGINS = "The limit on refused logins is what this option says, and no longer 5 in 40 s."

GUARANTEES = {
    "api.workers": _CONNECTIONS,
    "api_auth.jwt_algorithm": "A rotation of jwt_secret can end running tasks.",
    "api_auth.jwt_private_key_path": "A rotation of jwt_secret changes nothing any more.",
    "api_auth.trusted_jwks_url": "A rotation of jwt_secret can end running tasks.",
    "celery.operation_timeout": (
        "When Redis is away, the scheduler stands still for so long in each of its loops."
    ),
    "celery.ssl_active": "The broker of the cluster has no TLS: with True, no task runs.",
    "celery.task_acks_late": "With False, the tasks of a worker that vanishes are lost.",
    "celery.task_publish_max_retries": _REDIS,
    "celery.worker_enable_remote_control": "With False, Flower shows no worker.",
    "celery.worker_prefetch_multiplier": (
        "With more than 1, tasks wait at a worker that is busy while another one has free slots."
    ),
    "celery_broker_transport_options.socket_keepalive": _REDIS,
    "celery_broker_transport_options.socket_timeout": _REDIS,
    "core.dag_discovery_safe_mode": (
        "With True, a DAG file without the words `dag` and `airflow` is not read."
    ),
    "core.execute_tasks_new_python_interpreter": (
        "With True, each task starts seconds later, because it imports Airflow by itself."
    ),
    "dag_processor.dag_bundle_config_list": (
        "The DAGs of the image are in the bundle `dags-folder`: without it, they are gone."
    ),
    "database.sql_alchemy_max_overflow": _CONNECTIONS,
    "database.sql_alchemy_pool_size": _CONNECTIONS,
    "fab.auth_rate_limit": _LOGINS,
    "fab.auth_rate_limited": "With False, refused logins are not limited.",
    "fab.config_file": "The file can end the limit on refused logins (AUTH_RATE_LIMITED).",
    "logging.delete_local_logs": "With True, the managers have no copy of the logs.",
    "logging.logging_config_class": (
        "Logs of tasks can be in another place than the one that the managers copy them from."
    ),
    "scheduler.task_instance_heartbeat_timeout": _ABSENCES,
    "scheduler.task_queued_timeout_check_interval": (
        "A task whose message is lost is sent again after this many seconds."
    ),
    "secrets.backend": _SECRETS_BACKEND,
    "workers.execution_api_retries": _ABSENCES,
    "workers.execution_api_retry_wait_max": _ABSENCES,
    "workers.execution_api_retry_wait_min": _ABSENCES,
    "workers.execution_api_timeout": _ABSENCES,
    "workers.max_failed_heartbeats": _ABSENCES,
    "workers.secrets_backend": _SECRETS_BACKEND,
}
"""What another value than the project's can end; a warning of the preview."""

_SPEED = "speed alone"
_LIMIT = "a limit that the user wants"
FREE = {
    "celery.extra_celery_config": "it is merged with the project's",
    "celery.sync_parallelism": _SPEED,
    "celery.task_track_started": _SPEED,
    "core.default_pool_task_slot_count": _LIMIT,
    "core.load_examples": "more DAGs",
    "core.max_active_runs_per_dag": _LIMIT,
    "core.max_active_tasks_per_dag": _LIMIT,
    "dag_processor.min_file_process_interval": _SPEED,
    "dag_processor.parsing_processes": _SPEED,
    "dag_processor.refresh_interval": _SPEED,
    "email.subject_template": "the wording of mail",
    "fab.update_fab_perms": _SPEED,
    "scheduler.scheduler_idle_sleep_time": _SPEED,
}
"""Options that the project sets and no guarantee depends on, with the reason."""

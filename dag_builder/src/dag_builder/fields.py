"""The one table of keys: those of a DAG, a group and a task, and what each key holds.

Validation, the JSON Schema and the reference in the documentation are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a key holds. `read/values.py` has one converter for each."""

    ANY = "any"
    TEXT = "text"
    INTEGER = "integer"
    COUNT = "count"
    NATURAL = "natural"
    BACKOFF = "backoff"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NAMES = "names"
    MAPPING = "mapping"
    DURATION = "duration"
    INTERVAL = "interval"
    DIFFERENCE = "difference"
    TIME = "time"
    MOMENT = "moment"
    CALLBACK = "callback"
    OBJECTS = "objects"
    FILTERS = "filters"
    SCHEDULE = "schedule"
    PARAMS = "params"
    ASSETS = "assets"
    DEADLINE = "deadline"
    NOTIFY = "notify"
    TASK_NOTIFY = "task_notify"
    TRIGGER_RULE = "trigger_rule"
    WEIGHT_RULE = "weight_rule"
    RUN_TYPES = "run_types"
    CALLABLE = "callable"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One key: what it holds and what it is for."""

    kind: Kind
    about: str


def _field(kind: Kind, about: str) -> Field:
    return Field(kind=kind, about=about)


#: Keys of a DAG that Airflow's DAG class takes under the same name.
DAG_FIELDS: dict[str, Field] = {
    "description": _field(Kind.TEXT, "One line, shown in the list of DAGs."),
    "schedule": _field(
        Kind.SCHEDULE,
        "When it runs: a cron expression, a preset such as '@daily', a duration such as '10m', "
        "assets, a timetable, or nothing for by hand only.",
    ),
    "start_date": _field(Kind.MOMENT, "The first moment it may run for, such as '2026-01-01'."),
    "end_date": _field(Kind.MOMENT, "The last moment it may run for."),
    "catchup": _field(Kind.BOOLEAN, "Also run for the intervals missed since start_date."),
    "tags": _field(Kind.NAMES, "Labels to filter by in the list of DAGs."),
    "params": _field(
        Kind.PARAMS, "What a person may set when starting a run: plain values or JSON Schemas."
    ),
    "max_active_tasks": _field(Kind.COUNT, "Tasks of one run that may run at the same time."),
    "max_active_runs": _field(Kind.COUNT, "Runs that may be active at the same time."),
    "max_consecutive_failed_dag_runs": _field(
        Kind.NATURAL, "Pause the DAG after this many failed runs in a row; 0 for never."
    ),
    "dagrun_timeout": _field(Kind.INTERVAL, "How long a run may take before it fails."),
    "deadline": _field(Kind.DEADLINE, "What to call when a run is late."),
    "on_success_callback": _field(Kind.CALLBACK, "Called when a run succeeds."),
    "on_failure_callback": _field(Kind.CALLBACK, "Called when a run fails."),
    "doc_md": _field(Kind.TEXT, "Documentation in Markdown, or the path of a .md file."),
    "template_searchpath": _field(Kind.NAMES, "Folders in which Jinja looks for templates."),
    "template_undefined": _field(Kind.CALLABLE, "The class that Jinja makes of an unknown name."),
    "render_template_as_native_obj": _field(
        Kind.BOOLEAN, "Jinja renders to Python objects instead of text."
    ),
    "user_defined_macros": _field(Kind.OBJECTS, "Names that Jinja templates may use."),
    "user_defined_filters": _field(Kind.FILTERS, "Filters that Jinja templates may use."),
    "jinja_environment_kwargs": _field(Kind.MAPPING, "Options of the Jinja environment."),
    "access_control": _field(Kind.MAPPING, "What each role may do with this DAG."),
    "is_paused_upon_creation": _field(Kind.BOOLEAN, "Paused when it is first seen."),
    "owner_links": _field(Kind.MAPPING, "A link for each owner."),
    "fail_fast": _field(Kind.BOOLEAN, "Stop the run's other tasks when one fails."),
    "allowed_run_types": _field(Kind.RUN_TYPES, "Kinds of run that may be made."),
    "dag_display_name": _field(Kind.TEXT, "The name that the UI shows."),
    "auto_register": _field(Kind.BOOLEAN, "Register the DAG in the file that builds it."),
    "disable_bundle_versioning": _field(Kind.BOOLEAN, "Always run the newest code."),
    "rerun_with_latest_version": _field(
        Kind.BOOLEAN, "A cleared task runs the newest code instead of its run's."
    ),
}

#: Keys of a DAG that are this library's own.
DAG_OWN_FIELDS: dict[str, Field] = {
    "tasks": _field(Kind.ANY, "Every task and group by its name."),
    "default_args": _field(Kind.MAPPING, "Arguments for every task that does not set them."),
    "operator_defaults": _field(
        Kind.MAPPING, "Arguments for every task of one operator, by the operator's name."
    ),
    "notify": _field(
        Kind.NOTIFY,
        "Whom to write to when a run fails, succeeds or is late, or when a task is retried or "
        "skipped.",
    ),
    "timezone": _field(Kind.TEXT, "The time zone of dates that do not name one; UTC if left out."),
    "assets": _field(Kind.MAPPING, "Assets by a name to use in this DAG."),
    "chains": _field(
        Kind.ANY,
        "Lists of names, each upstream of the next; a list within is a fan (all to all).",
    ),
    "for_each": _field(
        Kind.ANY,
        "In YAML: build one DAG for each of these sets of parameters. In Python it is an argument "
        "of build_dags.",
    ),
}

#: Keys of any task that Airflow's BaseOperator takes under the same name.
TASK_FIELDS: dict[str, Field] = {
    "owner": _field(Kind.TEXT, "Who is responsible for the task."),
    "retries": _field(Kind.NATURAL, "How often to try again after a failure."),
    "retry_delay": _field(Kind.DURATION, "How long to wait before trying again."),
    "retry_exponential_backoff": _field(
        Kind.BACKOFF,
        "Multiply the wait by this each time; 0 or false for a constant wait, true for 2.",
    ),
    "max_retry_delay": _field(Kind.DURATION, "The longest wait before trying again."),
    "retry_policy": _field(Kind.ANY, "An object that decides on each failure."),
    "execution_timeout": _field(Kind.INTERVAL, "How long the task may take before it fails."),
    "trigger_rule": _field(Kind.TRIGGER_RULE, "What its upstream tasks must have done."),
    "depends_on_past": _field(Kind.BOOLEAN, "Wait for its own success in the previous run."),
    "ignore_first_depends_on_past": _field(Kind.BOOLEAN, "The first run need not wait."),
    "wait_for_past_depends_before_skipping": _field(
        Kind.BOOLEAN, "Wait for the past also when it would be skipped."
    ),
    "wait_for_downstream": _field(
        Kind.BOOLEAN, "Wait for what follows it in the previous run as well."
    ),
    "priority_weight": _field(Kind.INTEGER, "Higher runs first."),
    "weight_rule": _field(Kind.WEIGHT_RULE, "How weights of related tasks add up."),
    "queue": _field(Kind.TEXT, "The Celery queue: which workers run it."),
    "pool": _field(Kind.TEXT, "The pool that limits how many run at once."),
    "pool_slots": _field(Kind.COUNT, "How many of the pool's slots it takes."),
    "executor": _field(Kind.TEXT, "The executor, if there are several."),
    "executor_config": _field(Kind.MAPPING, "Options for the executor."),
    "run_as_user": _field(Kind.TEXT, "The Unix user that runs it."),
    "resources": _field(Kind.MAPPING, "The cpus, ram, disk and gpus that it needs."),
    "max_active_tis_per_dag": _field(Kind.COUNT, "Instances at once over all runs."),
    "max_active_tis_per_dagrun": _field(Kind.COUNT, "Instances at once in one run."),
    "map_index_template": _field(Kind.TEXT, "A Jinja template that names mapped instances."),
    "do_xcom_push": _field(Kind.BOOLEAN, "Keep what it returns for other tasks."),
    "multiple_outputs": _field(Kind.BOOLEAN, "A returned dictionary becomes one output a key."),
    "render_template_as_native_obj": _field(
        Kind.BOOLEAN, "Jinja renders to Python objects instead of text."
    ),
    "start_date": _field(Kind.MOMENT, "The first moment this task may run for."),
    "end_date": _field(Kind.MOMENT, "The last moment this task may run for."),
    "params": _field(Kind.PARAMS, "Params of this task, over those of the DAG."),
    "on_execute_callback": _field(Kind.CALLBACK, "Called just before it runs."),
    "on_success_callback": _field(Kind.CALLBACK, "Called when it succeeds."),
    "on_failure_callback": _field(Kind.CALLBACK, "Called when it fails."),
    "on_retry_callback": _field(Kind.CALLBACK, "Called when it will be tried again."),
    "on_skipped_callback": _field(Kind.CALLBACK, "Called when it skips itself."),
    "pre_execute": _field(Kind.CALLABLE, "A hook before execution."),
    "post_execute": _field(Kind.CALLABLE, "A hook after execution."),
    "inlets": _field(Kind.ASSETS, "Assets it reads."),
    "outlets": _field(Kind.ASSETS, "Assets it writes; DAGs scheduled on them run then."),
    "doc": _field(Kind.TEXT, "Documentation as plain text."),
    "doc_md": _field(Kind.TEXT, "Documentation in Markdown."),
    "doc_json": _field(Kind.TEXT, "Documentation in JSON."),
    "doc_yaml": _field(Kind.TEXT, "Documentation in YAML."),
    "doc_rst": _field(Kind.TEXT, "Documentation in reStructuredText."),
    "task_display_name": _field(Kind.TEXT, "The name that the UI shows."),
    "logger_name": _field(Kind.TEXT, "The logger it writes to."),
    "allow_nested_operators": _field(Kind.BOOLEAN, "It may run another operator within."),
    "email": _field(Kind.ANY, "Deprecated by Airflow: use a notifier as callback."),
    "email_on_retry": _field(Kind.BOOLEAN, "Deprecated by Airflow: use a notifier."),
    "email_on_failure": _field(Kind.BOOLEAN, "Deprecated by Airflow: use a notifier."),
}

#: Keys of a task that are this library's own.
TASK_OWN_FIELDS: dict[str, Field] = {
    "operator": _field(Kind.TEXT, "An operator or sensor: a short name or an import path."),
    "callable": _field(Kind.CALLABLE, "A Python function: an import path, or its name in tasks=."),
    "decorator": _field(
        Kind.TEXT, "What kind of task the function becomes, as in @task.<decorator>."
    ),
    "python": _field(
        Kind.TEXT, "Run the function in another Python: 'airflow_env' or an interpreter's path."
    ),
    "arguments": _field(Kind.MAPPING, "The function's arguments, by name."),
    "upstream": _field(Kind.NAMES, "What must be done before it."),
    "downstream": _field(Kind.NAMES, "What comes after it."),
    "partial": _field(Kind.MAPPING, "With expand: arguments that are the same for every instance."),
    "expand": _field(Kind.MAPPING, "One instance for each value of these arguments."),
    "expand_kwargs": _field(Kind.ANY, "One instance for each of these sets of arguments."),
    "default_args": _field(Kind.MAPPING, "Arguments for this task that it does not set itself."),
    "notify": _field(
        Kind.TASK_NOTIFY, "Whom to write to when it fails, succeeds, is retried or is skipped."
    ),
    "setup": _field(Kind.BOOLEAN, "It prepares what others need."),
    "teardown": _field(Kind.ANY, "It cleans up: true, or the name(s) of its setup tasks."),
    "on_failure_fail_dagrun": _field(
        Kind.BOOLEAN, "With teardown: the run fails when the cleaning up fails."
    ),
}

#: Keys of a group of tasks.
GROUP_FIELDS: dict[str, Field] = {
    "tasks": _field(Kind.ANY, "The tasks and groups in it, by name."),
    "upstream": _field(Kind.NAMES, "What must be done before any of it."),
    "downstream": _field(Kind.NAMES, "What comes after all of it."),
    "default_args": _field(Kind.MAPPING, "Arguments for every task in it that does not set them."),
    "expand": _field(Kind.MAPPING, "One copy of the group for each value of these arguments."),
    "expand_kwargs": _field(Kind.ANY, "One copy of the group for each of these sets."),
    "chains": _field(Kind.ANY, "As a DAG's chains, with the names of this group."),
    "tooltip": _field(Kind.TEXT, "Shown when the mouse is over it."),
    "doc_md": _field(Kind.TEXT, "Documentation in Markdown."),
    "group_display_name": _field(Kind.TEXT, "The name that the UI shows."),
    "prefix_group_id": _field(Kind.BOOLEAN, "Task ids start with the group's name."),
    "ui_color": _field(Kind.TEXT, "Its colour."),
    "ui_fgcolor": _field(Kind.TEXT, "The colour of its text."),
}

#: Keys of notify: what it is about, and the ways to send.
NOTIFY_KEYS = frozenset({"on", "email", "slack", "slack_webhook", "webhook"})

#: A kind of argument that operators take by a name that says what it holds.
COMMON_ARGUMENTS: dict[str, Kind] = {
    "execution_delta": Kind.DIFFERENCE,
    "execution_date_fn": Kind.CALLABLE,
    "python_callable": Kind.CALLABLE,
    "max_wait": Kind.DIFFERENCE,
}

#: Arguments of tasks that Airflow still accepts and ignores, and what to use instead.
IGNORED_ARGUMENTS: dict[str, str] = {
    "sla": "Airflow 3 has no SLAs: use the DAG's 'deadline', or the task's 'execution_timeout'",
}

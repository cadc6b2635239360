"""The dictionaries as TypedDicts, for an editor to complete keys and a type checker to check.

    from dag_builder.typing import DagDict

    sales: DagDict = {"schedule": "@daily", "tasks": {…}}

A test holds them against the table in fields.py. Operators' own arguments are not in TaskDict, as
they differ from operator to operator; annotate those with ``dict[str, Any]``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Union

Duration = Union[dt.timedelta, int, float, str, Mapping[str, float]]  # noqa: UP007 - at run time
Moment = Union[dt.datetime, dt.date, str]  # noqa: UP007
Callback = Union[str, Callable[..., Any], Mapping[str, Any]]  # noqa: UP007
Callbacks = Union[Callback, list[Callback]]  # noqa: UP007
Names = Union[str, Sequence[str]]  # noqa: UP007
Links = Union[str, Sequence[Union[str, Mapping[str, str]]]]  # noqa: UP007
TriggerRule = Literal[
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_done_setup_success",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_skipped",
    "always",
    "none_failed_min_one_success",
    "all_skipped",
]


class NotifyDict(TypedDict, total=False):
    """Whom to notify, and of what. `on` is needed, and one of the others."""

    on: Names
    email: Names | Mapping[str, Any]
    slack: str | Mapping[str, Any]
    slack_webhook: str | Mapping[str, Any]
    webhook: str | Mapping[str, Any]


Notify = Union[NotifyDict, list[NotifyDict]]  # noqa: UP007


class ArgumentsDict(TypedDict, total=False):
    """Arguments that every task takes, and what else default_args take."""

    owner: str
    retries: int
    retry_delay: Duration
    retry_exponential_backoff: float | bool
    max_retry_delay: Duration
    retry_policy: Any
    execution_timeout: Duration
    trigger_rule: TriggerRule
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    priority_weight: int
    weight_rule: str
    queue: str
    pool: str
    pool_slots: int
    executor: str
    executor_config: Mapping[str, Any]
    run_as_user: str
    resources: Mapping[str, Any]
    max_active_tis_per_dag: int
    max_active_tis_per_dagrun: int
    map_index_template: str
    do_xcom_push: bool
    multiple_outputs: bool
    render_template_as_native_obj: bool
    start_date: Moment
    end_date: Moment
    params: Mapping[str, Any]
    on_execute_callback: Callbacks
    on_success_callback: Callbacks
    on_failure_callback: Callbacks
    on_retry_callback: Callbacks
    on_skipped_callback: Callbacks
    pre_execute: str | Callable[..., Any]
    post_execute: str | Callable[..., Any]
    inlets: Any
    outlets: Any
    doc: str
    doc_md: str
    doc_json: str
    doc_yaml: str
    doc_rst: str
    task_display_name: str
    logger_name: str
    allow_nested_operators: bool
    email: Any
    email_on_retry: bool
    email_on_failure: bool
    notify: Notify


class TaskDict(ArgumentsDict, total=False):
    """A task."""

    operator: str | type
    callable: str | Callable[..., Any]
    decorator: str
    python: str
    arguments: Mapping[str, Any]
    upstream: Links
    downstream: Links
    partial: Mapping[str, Any]
    expand: Mapping[str, Any]
    expand_kwargs: Any
    default_args: ArgumentsDict
    setup: bool
    teardown: bool | str | list[str]
    on_failure_fail_dagrun: bool


class GroupDict(TypedDict, total=False):
    """A group of tasks."""

    tasks: Mapping[str, TaskEntry]
    upstream: Links
    downstream: Links
    default_args: ArgumentsDict
    expand: Mapping[str, Any]
    expand_kwargs: Any
    chains: str | list[Any]
    tooltip: str
    doc_md: str
    group_display_name: str
    prefix_group_id: bool
    ui_color: str
    ui_fgcolor: str


class DagDict(TypedDict, total=False):
    """A DAG in its full form."""

    description: str
    schedule: Any
    start_date: Moment
    end_date: Moment
    catchup: bool
    tags: Names
    params: Mapping[str, Any]
    max_active_tasks: int
    max_active_runs: int
    max_consecutive_failed_dag_runs: int
    dagrun_timeout: Duration
    deadline: Any
    on_success_callback: Callbacks
    on_failure_callback: Callbacks
    doc_md: str
    template_searchpath: Names
    template_undefined: Any
    render_template_as_native_obj: bool
    user_defined_macros: Mapping[str, Any]
    user_defined_filters: Mapping[str, Any]
    jinja_environment_kwargs: Mapping[str, Any]
    access_control: Mapping[str, Any]
    is_paused_upon_creation: bool
    owner_links: Mapping[str, Any]
    fail_fast: bool
    allowed_run_types: Names
    dag_display_name: str
    auto_register: bool
    disable_bundle_versioning: bool
    rerun_with_latest_version: bool
    tasks: Mapping[str, TaskEntry]
    default_args: ArgumentsDict
    operator_defaults: Mapping[str, Mapping[str, Any]]
    notify: Notify
    timezone: str
    assets: Mapping[str, Any]
    chains: str | list[Any]
    for_each: list[dict[str, Any]] | dict[str, list[Any]]


TaskEntry = Union[  # noqa: UP007
    TaskDict, GroupDict, Mapping[str, Any], None, str, Sequence[str], Callable[..., Any]
]

"""Notifications: whom to write to when a run or a task fails, succeeds, is retried or is late."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path, listed
from dag_builder.fields import NOTIFY_KEYS, Kind
from dag_builder.read import messages
from dag_builder.read.argument_types import is_marked, read_argument, type_of_annotation
from dag_builder.read.origins import Called, copied

if TYPE_CHECKING:
    from dag_builder.plan import GroupPlan
    from dag_builder.read.task_context import TaskContext
    from dag_builder.read.values import Reader

NOTIFY = "notify"
#: The key under which notices are in default_args until every task is read.
NOTICES = "$notify"
#: What a notification can be about, with the callback of Airflow that sends it.
CALLBACKS: dict[str, str] = {
    "failure": "on_failure_callback",
    "success": "on_success_callback",
    "retry": "on_retry_callback",
    "skipped": "on_skipped_callback",
}
DEADLINE = "deadline"
TASK_EVENTS = tuple(CALLBACKS)
DAG_EVENTS = (*CALLBACKS, DEADLINE)
#: Events of a DAG's notify that are about its tasks.
OF_TASKS = frozenset({"retry", "skipped"})


@dataclass(frozen=True, kw_only=True)
class Target:
    """One way to send: a provider's notifier.

    `main` is the argument that a plain text means. `connection` is the argument that is named
    conn_id here. `needed` must be given. `lists` is whether a list means `main` as well.
    """

    notifier: str
    main: str
    connection: str
    needed: tuple[str, ...] = ()
    lists: bool = False


_PROVIDERS = "airflow.providers"
TARGETS: dict[str, Target] = {
    "email": Target(
        notifier=f"{_PROVIDERS}.smtp.notifications.smtp.SmtpNotifier",
        main="to",
        connection="smtp_conn_id",
        needed=("to",),
        lists=True,
    ),
    "slack": Target(
        notifier=f"{_PROVIDERS}.slack.notifications.slack.SlackNotifier",
        main="channel",
        connection="slack_conn_id",
        needed=("channel",),
    ),
    "slack_webhook": Target(
        notifier=f"{_PROVIDERS}.slack.notifications.slack_webhook.SlackWebhookNotifier",
        main="conn_id",
        connection="slack_webhook_conn_id",
    ),
    "webhook": Target(
        notifier=f"{_PROVIDERS}.http.notifications.http.HttpNotifier",
        main="conn_id",
        connection="http_conn_id",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One callback of one event. That of a deadline is a callback of Airflow's triggerer."""

    event: str
    callback: Any
    path: Path


class Notification:
    """A callback that sends with a new copy of a notifier.

    A notifier renders its templates in place (BaseNotifier.render_template_fields), so that its
    second message would have the first one's text: the DAG processor calls the same callbacks for
    all runs of a DAG that end at about the same time.
    """

    def __init__(self, notifier: Any) -> None:
        """Send with copies of this notifier."""
        self.notifier = notifier

    def __call__(self, context: Any) -> None:
        """Send one message."""
        copy.copy(self.notifier)(context)

    def __repr__(self) -> str:
        return f"Notification({type(self.notifier).__name__})"


def read_dag_notify(reader: Reader, value: Any, path: Path) -> Any:
    """``{on: [failure, deadline], email: address}``, or a list of those, for a DAG."""
    return _read(reader, value, path, of_dag=True)


def read_task_notify(reader: Reader, value: Any, path: Path) -> Any:
    """Read the same for a task, which has no deadline."""
    return _read(reader, value, path, of_dag=False)


def _read(reader: Reader, value: Any, path: Path, *, of_dag: bool) -> Any:
    if isinstance(value, list):
        found = [
            _one(reader, item, (*path, index), of_dag=of_dag)
            for index, item in enumerate(cast("list[Any]", value))
        ]
    else:
        found = [_one(reader, value, path, of_dag=of_dag)]
    return NOTHING if NOTHING in found else [notice for notices in found for notice in notices]


def _one(reader: Reader, value: Any, path: Path, *, of_dag: bool) -> Any:
    if not isinstance(value, Mapping):
        reader.wrong(path, value, "{on: [failure], email: address}")
        return NOTHING
    given = cast("Mapping[str, Any]", value)
    before = len(reader.problems.found)
    for key in given:
        if key not in NOTIFY_KEYS:
            reader.problems.add_unknown(
                (*path, str(key)), f"notify has no {key!r}", str(key), ("on", *TARGETS), on_key=True
            )
    events = _events(reader, given.get("on"), path, of_dag=of_dag)
    targets = [key for key in given if key in TARGETS]
    if not targets and len(reader.problems.found) == before:
        reader.problems.add(path, "notify needs someone to notify", valid=listed(TARGETS))
    notices: list[Notice] = []
    for key in targets:
        notices += _notices(reader, key, given[key], events, path, of_dag=of_dag)
    return notices if len(reader.problems.found) == before else NOTHING


def _events(reader: Reader, value: Any, path: Path, *, of_dag: bool) -> list[str]:
    valid = DAG_EVENTS if of_dag else TASK_EVENTS
    inner = (*path, "on")
    names = reader.read(Kind.NAMES, value, inner)
    if not names:
        if names is not NOTHING:
            reader.problems.add(inner, "notify needs 'on'", valid=listed(valid))
        return []
    for index, name in enumerate(names):
        where = inner if isinstance(value, str) else (*inner, index)
        if name == DEADLINE and not of_dag:
            reader.problems.add(
                where,
                "a task has no deadline",
                given=name,
                valid=listed(valid),
                hint="deadlines are of runs: use the notify of the DAG, beside its 'deadline'",
            )
        elif name not in valid:
            reader.problems.add_unknown(where, f"there is no event {name!r}", name, valid)
    return list(dict.fromkeys(name for name in names if name in valid))


def _notices(
    reader: Reader, key: str, value: Any, events: list[str], path: Path, *, of_dag: bool
) -> list[Notice]:
    """Return a notice of each event for one target; none if there is a mistake (reported)."""
    target, inner = TARGETS[key], (*path, key)
    notifier = reader.imported(target.notifier, inner)
    if notifier is NOTHING:
        return []
    kwargs = _arguments(reader, key, notifier, value, inner)
    if kwargs is NOTHING:
        return []
    notices: list[Notice] = []
    for event in events:
        message = _message(event, of_dag=of_dag)
        texts = messages.default_arguments(reader, key, message, kwargs, inner)
        callback = _callback(reader, notifier, {**kwargs, **texts}, event, inner)
        if callback is NOTHING:
            return []
        notices.append(Notice(event=event, callback=callback, path=inner))
    return notices


def _message(event: str, *, of_dag: bool) -> messages.Message:
    if not of_dag or event in OF_TASKS:
        return messages.Message(about="task", event=event)
    return messages.Message(about="deadline" if event == DEADLINE else "run", event=event)


def _callback(
    reader: Reader, notifier: Any, kwargs: Mapping[str, Any], event: str, path: Path
) -> Any:
    made = reader.call(notifier, (), kwargs, path)
    if made is NOTHING:
        return NOTHING
    if event != DEADLINE:
        origin = Called(factory=notifier, args=(), kwargs=copied(kwargs))
        return reader.kept(Notification(made), origin, path)
    if not airflow_internals.sends_asynchronously(notifier):
        reader.problems.add(
            path,
            f"this release of {notifier.__name__} cannot send for a deadline",
            hint="update its package: deadlines are sent by the triggerer, with async_notify()",
        )
        return NOTHING
    # By its path, as Airflow stores it: the notifier is made by the triggerer.
    return reader.call(airflow_internals.async_callback(), (notifier,), {"kwargs": kwargs}, path)


def _arguments(reader: Reader, key: str, notifier: Any, value: Any, path: Path) -> Any:
    """Return the arguments that the author gives to a notifier, by the notifier's own names."""
    target = TARGETS[key]
    if is_marked(value):
        value = reader.value(value, path)
        if value is NOTHING:
            return NOTHING
    short = isinstance(value, str) or (target.lists and isinstance(value, list))
    if not short and not isinstance(value, Mapping):
        valid = "an address, or a list of them" if target.lists else f"a {_word(target.main)}"
        what = f"{valid}, or a mapping with the arguments of the notifier"
        reader.wrong(path, cast("object", value), what)
        return NOTHING
    given = cast("object", {target.main: value} if short else value)
    mapping = cast("Mapping[str, Any]", given)
    return _read_arguments(reader, key, notifier, mapping, path, short=short)


def _word(argument: str) -> str:
    return {"conn_id": "connection's id", "to": "list of addresses"}.get(argument, argument)


def _read_arguments(
    reader: Reader, key: str, notifier: Any, given: Mapping[str, Any], path: Path, *, short: bool
) -> Any:
    """Read each argument by the type that the notifier's signature gives it."""
    target, before = TARGETS[key], len(reader.problems.found)
    parameters = _parameters(notifier)
    names = ["conn_id", *(name for name in parameters if name != target.connection)]
    kwargs: dict[str, Any] = {}
    for name, item in given.items():
        where = path if short else (*path, str(name))
        if name not in names:
            reader.problems.add_unknown(
                where, f"{key} has no {name!r}", str(name), names, on_key=True
            )
            continue
        argument = target.connection if name == "conn_id" else name
        templated = argument in notifier.template_fields
        expected = type_of_annotation(parameters[argument], templated=templated)
        found = read_argument(reader, expected, item, where)
        if found is not NOTHING and not found and name in {*target.needed, "conn_id"}:
            reader.wrong(where, item, f"a {_word(name)}, which is not empty")
        kwargs[argument] = found
    for name in target.needed:
        if name not in given:
            reader.problems.add(path, f"{key} needs {name!r}", valid=listed(names))
    reader.refuse_references(kwargs, path)
    return kwargs if len(reader.problems.found) == before else NOTHING


def _parameters(notifier: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found = inspect.signature(notifier).parameters.items()
    return {name: one for name, one in found if one.kind is not one.VAR_KEYWORD}


# Callbacks beside those of the author


def callbacks_of(notices: list[Notice] | None, event: str) -> list[Any]:
    """Return the callbacks of one event."""
    return [notice.callback for notice in notices or () if notice.event == event]


def with_notices(author: Any, notices: list[Any]) -> Any:
    """Return the author's own callbacks, then those of notices."""
    if not notices:
        return author
    own = cast("list[Any]", author if isinstance(author, list | tuple) else [author])
    return [*(one for one in own if one is not None), *notices]


def add_to_task(
    context: TaskContext,
    kwargs: dict[str, Any],
    inherited: Mapping[str, Any],
    notices: list[Notice] | None,
    *,
    own: bool,
) -> None:
    """Add notices to a task's callbacks, unless Airflow's default_args bring them.

    `own` is whether the notices are not those of the default_args around the task.
    """
    for event, key in CALLBACKS.items():
        added = callbacks_of([*(notices or ()), *context.notices_of_tasks], event)
        if key in kwargs:
            kwargs[key] = with_notices(kwargs[key], added)
        elif own and (added or context.default_notices):
            kwargs[key] = with_notices(inherited.get(key), added) or []


def finish_default_args(context: TaskContext) -> None:
    """Replace notify in each default_args by callbacks, which Airflow gives to the tasks."""
    if not (context.default_notices or context.notices_of_tasks):
        return
    plan = context.plan
    groups = (plan.root, *plan.groups.values())
    layers = [(_layer(context, group), _joined(context, group)) for group in groups]
    for task in plan.tasks.values():
        if task.makes_group and "default_args" in task.kwargs:
            own = task.kwargs["default_args"]
            layers.append((own, {**_joined(context, task.group), **own}))
    for layer, joined in layers:
        outermost = layer is plan.kwargs["default_args"]
        notices = [*(joined.get(NOTICES) or ()), *context.notices_of_tasks]
        for event, key in CALLBACKS.items():
            found = with_notices(joined.get(key), callbacks_of(notices, event))
            if outermost and found is None:
                continue
            if key in layer or NOTICES in layer or outermost:
                layer[key] = [] if found is None else found
        layer.pop(NOTICES, None)


def _layer(context: TaskContext, group: GroupPlan) -> dict[str, Any]:
    kwargs = context.plan.kwargs if group.parent is None else group.kwargs
    return kwargs.get("default_args", {})


def _joined(context: TaskContext, group: GroupPlan) -> dict[str, Any]:
    """Return the default_args of a group over those around it, as the author gave them."""
    around = {} if group.parent is None else _joined(context, group.parent)
    return {**around, **_layer(context, group)}

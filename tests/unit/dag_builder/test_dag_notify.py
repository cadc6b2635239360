"""Notify: callbacks, deadlines and texts, and messages that servers receive."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from airflow.sdk import DAG, BaseNotifier, BaseOperator, task, task_group
from dag_builder.airflow_internals import serialized
from dag_builder.read.imports import import_object
from dag_builder.yaml.documents import read_string
from dag_builder.yaml.schema import json_schema

from dag_builder import DagError, build_dag, dag_of
from tests.smtp_server import SENDER, smtp_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

E: dict[str, Any] = {"operator": "empty"}
MAIL = {"on": "failure", "email": "a@example.org"}
DEADLINE = {"reference": "dagrun_queued_at", "interval": "1h"}


def made(tasks: Any = None, **keys: Any) -> DAG:
    return dag_of("d", {"tasks": tasks or {"a": E}, **keys})


def one(tasks: Any = None, **keys: Any) -> str:
    """The only mistake of a DAG, as text."""
    with pytest.raises(DagError) as caught:
        made(tasks, **keys)
    [problem] = caught.value.problems
    return str(problem)


def kinds(callbacks: Any) -> list[str]:
    """The names of notifiers and functions, in their order."""
    items = callbacks if isinstance(callbacks, list) else [callbacks]
    found = [getattr(item, "notifier", item) for item in items if item]
    return [getattr(item, "__name__", type(item).__name__) for item in found]


def alerts(dag: DAG) -> list[Any]:
    """The deadlines of a DAG, which Airflow makes a list of."""
    found: Any = dag.deadline
    return found if isinstance(found, list) else [found]


def tell(context: Any) -> None:
    del context


def work() -> None:
    """The function of a task."""


def others(context: Any) -> None:
    del context


class Page(BaseOperator):
    """An operator with an argument of this name."""

    def __init__(self, *, notify: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.given = notify


# Which callbacks a DAG and its tasks have


def test_events_of_a_dag_are_those_of_its_runs_its_tasks_and_its_deadline() -> None:
    dag = made(
        notify={
            "on": ["failure", "success", "retry", "skipped", "deadline"],
            "email": ["a@example.org", "b@example.org"],
        },
        deadline=DEADLINE,
    )
    a = dag.get_task("a")
    assert kinds(dag.on_failure_callback) == kinds(dag.on_success_callback) == ["SmtpNotifier"]
    assert kinds(a.on_retry_callback) == kinds(a.on_skipped_callback) == ["SmtpNotifier"]
    assert not a.on_failure_callback
    assert not a.on_success_callback
    [alert] = alerts(dag)
    assert alert.callback.path.endswith(".SmtpNotifier")
    assert alert.callback.kwargs["to"] == ["a@example.org", "b@example.org"]
    serialized(dag)


def test_events_of_a_task() -> None:
    events = ["failure", "success", "retry", "skipped"]
    a = made({"a": {**E, "notify": {"on": events, "email": "a@example.org"}}}).get_task("a")
    for event in events:
        [callback] = getattr(a, f"on_{event}_callback")
        assert callback.notifier.to == "a@example.org"
    assert not a.on_execute_callback


def test_every_way_to_send_is_a_notifier_of_a_provider() -> None:
    dag = made(
        notify=[
            {"on": "failure", "email": "a@example.org", "slack": "#ops"},
            {"on": "failure", "slack_webhook": "hook", "webhook": {"conn_id": "alerts"}},
        ]
    )
    found = [callback.notifier for callback in dag.on_failure_callback]
    assert kinds(found) == ["SmtpNotifier", "SlackNotifier", "SlackWebhookNotifier", "HttpNotifier"]
    assert all(isinstance(notifier, BaseNotifier) for notifier in found)
    assert found[1].channel == "#ops"
    assert found[2].slack_webhook_conn_id == "hook"
    assert (found[3].http_conn_id, found[3].method) == ("alerts", "POST")


def test_arguments_are_those_of_the_notifier_and_replace_the_texts() -> None:
    dag = made(
        notify={
            "on": "failure",
            "email": {
                "to": "a@example.org",
                "cc": ["b@example.org"],
                "conn_id": "mail",
                "subject": "S",
                "html_content": "H",
            },
            "slack": {"channel": "#ops", "text": "T"},
            "webhook": {"endpoint": "hooks/1", "headers": {"X": "y"}, "json": {"j": 1}},
        }
    )
    mail, slack, hook = (callback.notifier for callback in dag.on_failure_callback)
    assert (mail.smtp_conn_id, mail.cc, mail.subject) == ("mail", ["b@example.org"], "S")
    assert (mail.html_content, slack.text, hook.json) == ("H", "T", {"j": 1})
    assert (hook.endpoint, hook.headers) == ("hooks/1", {"X": "y"})


def test_the_webhooks_own_data_is_sent_instead_of_json() -> None:
    [callback] = made(notify={"on": "failure", "webhook": {"data": "x"}}).on_failure_callback
    assert (callback.notifier.data, callback.notifier.json) == ("x", None)


def test_the_authors_own_callbacks_come_first() -> None:
    dag = made(
        {
            "a": {**E, "on_failure_callback": [tell, others], "notify": MAIL},
            "b": {**E, "on_failure_callback": tell},
        },
        on_failure_callback=tell,
        notify=MAIL,
    )
    assert kinds(dag.on_failure_callback) == ["tell", "SmtpNotifier"]
    assert kinds(dag.get_task("a").on_failure_callback) == ["tell", "others", "SmtpNotifier"]
    assert kinds(dag.get_task("b").on_failure_callback) == ["tell"]


@pytest.mark.filterwarnings("ignore:Setting email.* on a task is deprecated")
def test_old_mail_keys_are_kept() -> None:
    a = made({"a": {**E, "email": "a@example.org", "notify": MAIL}}).get_task("a")
    assert (a.email, a.email_on_failure) == ("a@example.org", True)
    assert kinds(a.on_failure_callback) == ["SmtpNotifier"]


# Defaults

SLACK = {"on": ["failure", "retry"], "slack": "#ops"}


def test_notify_of_default_args_is_for_tasks_that_have_none() -> None:
    dag = made(
        {
            "a": E,
            "b": {**E, "notify": SLACK},
            "c": {**E, "on_failure_callback": tell},
            "d": {**E, "notify": None},
            "e": {**E, "default_args": {"notify": SLACK}},
        },
        default_args={"notify": MAIL, "on_failure_callback": others},
    )
    found = {one.task_id: kinds(one.on_failure_callback) for one in dag.tasks}
    assert found == {
        "a": ["others", "SmtpNotifier"],
        "b": ["others", "SlackNotifier"],
        "c": ["tell", "SmtpNotifier"],
        "d": ["others"],
        "e": ["others", "SlackNotifier"],
    }
    assert kinds(dag.get_task("b").on_retry_callback) == ["SlackNotifier"]
    assert "notify" not in dag.default_args


def test_the_nearest_defaults_count() -> None:
    dag = made(
        {
            "a": {"operator": "bash", "bash_command": "true"},
            "g": {
                "default_args": {"notify": SLACK},
                "tasks": {
                    "b": {"operator": "bash", "bash_command": "true"},
                    "h": {"default_args": {"on_failure_callback": tell}, "tasks": {"c": E}},
                    "i": {"default_args": {"notify": []}, "tasks": {"d": E}},
                },
            },
            "e": E,
        },
        default_args={"notify": MAIL},
        operator_defaults={"bash": {"notify": {"on": "failure", "webhook": "hook"}}},
    )
    found = {one.task_id: kinds(one.on_failure_callback) for one in dag.tasks}
    assert found == {
        "a": ["HttpNotifier"],
        "g.b": ["SlackNotifier"],
        "g.h.c": ["tell", "SlackNotifier"],
        "g.i.d": [],
        "e": ["SmtpNotifier"],
    }


def test_a_dags_retry_is_beside_the_tasks_own_and_for_every_task() -> None:
    @task
    def inner() -> None:
        """A task that only Airflow sees."""

    @task_group
    def group() -> None:
        inner()

    dag = dag_of(
        "d",
        {
            "notify": {"on": "retry", "email": "a@example.org"},
            "default_args": {"on_retry_callback": tell},
            "tasks": {
                "a": {**E, "notify": SLACK},
                "b": {**E, "on_retry_callback": others},
                "c": E,
                "g": {
                    "callable": group,
                    "default_args": {"notify": {"on": "failure", "slack": "#g"}},
                },
                "m": {"operator": "bash", "expand": {"bash_command": ["true"]}, "notify": SLACK},
            },
        },
    )
    found = {one.task_id: kinds(one.on_retry_callback) for one in dag.tasks}
    assert found == {
        "a": ["tell", "SlackNotifier", "SmtpNotifier"],
        "b": ["others", "SmtpNotifier"],
        "c": ["tell", "SmtpNotifier"],
        "g.inner": ["tell", "SmtpNotifier"],
        "m": ["tell", "SlackNotifier", "SmtpNotifier"],
    }
    assert kinds(dag.get_task("g.inner").on_failure_callback) == ["SlackNotifier"]


def test_an_operators_own_argument_of_this_name_is_its_own() -> None:
    dag = made(
        {
            "a": {"operator": Page, "notify": "own"},
            "b": {"operator": Page, "default_args": {"notify": "own"}},
        },
        default_args={"notify": MAIL},
    )
    for one_task in dag.tasks:
        page: Any = one_task
        assert page.given == "own"
        assert kinds(page.on_failure_callback) == ["SmtpNotifier"]


def test_a_task_may_have_this_name() -> None:
    @task
    def notify() -> None:
        """A task."""

    dag = dag_of("d", {"a": [], "notify": ["a"]}, {"a": work, "notify": notify})
    assert dag.get_task("notify").upstream_task_ids == {"a"}
    document = {"dag_id": "d", "a": [], "notify": ["a"]}
    assert not list(jsonschema.Draft7Validator(json_schema()).iter_errors(document))
    joined = dag_of(
        "d",
        {"tasks": {"notify": {"retries": 1}}},
        defaults={"tasks": {"notify": {"operator": "empty", "owner": "me"}}},
    )
    assert (joined.get_task("notify").retries, joined.get_task("notify").owner) == (1, "me")


def test_notify_of_the_dag_replaces_that_of_defaults() -> None:
    dag = dag_of(
        "d",
        {"tasks": {"a": E}, "notify": {"on": "failure", "slack": "#ops"}},
        defaults={"notify": MAIL},
    )
    assert kinds(dag.on_failure_callback) == ["SlackNotifier"]
    assert kinds(build_dag("e", {"a": []}, {"a": work}, notify=MAIL).on_failure_callback) == [
        "SmtpNotifier"
    ]


# Deadlines


async def late(**_: Any) -> None:
    """A callback of a deadline."""


def test_a_deadline_has_its_own_callback_and_those_of_notify() -> None:
    notify = {"on": ["deadline", "failure"], "email": "a@example.org", "slack": "#ops"}
    ready = {
        "$object": "airflow.sdk.DeadlineAlert",
        "reference": {"$import": "airflow.sdk.DeadlineReference.DAGRUN_QUEUED_AT"},
        "interval": {"$duration": "1h"},
        "callback": {"$object": "airflow.sdk.AsyncCallback", "callback_callable": "asyncio.sleep"},
    }
    dag = made(notify=notify, deadline=[{**DEADLINE, "callback": "asyncio.sleep"}, ready])
    paths = [alert.callback.path.rpartition(".")[2] for alert in alerts(dag)]
    assert paths == ["sleep", "SmtpNotifier", "SlackNotifier"] * 2
    assert {alert.interval.total_seconds() for alert in alerts(dag)} == {3600}
    assert kinds(dag.on_failure_callback) == ["SmtpNotifier", "SlackNotifier"]
    stored = serialized(dag)
    assert len(stored["dag"]["deadline"]) == 6


def test_a_deadline_needs_a_callback_or_notify() -> None:
    assert "a deadline needs 'callback'" in one(deadline=DEADLINE, notify=MAIL)


def test_a_notifier_of_an_old_package_is_refused_for_deadlines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notifier: Any = import_object("airflow.providers.slack.notifications.slack.SlackNotifier")
    monkeypatch.delattr(notifier, "async_notify")
    text = one(notify={"on": "deadline", "slack": "#ops"}, deadline=DEADLINE)
    assert "this release of SlackNotifier cannot send for a deadline" in text


# Mistakes


@pytest.mark.parametrize(
    ("key", "package"),
    [
        ("email", "apache-airflow-providers-smtp"),
        ("slack", "apache-airflow-providers-slack"),
        ("slack_webhook", "apache-airflow-providers-slack"),
        ("webhook", "apache-airflow-providers-http"),
    ],
)
def test_a_missing_package_is_one_message_with_its_name(
    key: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = f"airflow.providers.{package.rpartition('-')[2]}"
    _hide(monkeypatch, provider)
    text = one(notify={"on": ["failure", "success", "retry"], key: "x"})
    assert f"d.notify.{key}\n    the package '{package}' is not installed" in text
    assert f"pip install {package}" in text


def _hide(monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    """Make a provider's package look as if it were not installed."""
    import airflow.providers

    for name in [one for one in sys.modules if f"{one}.".startswith(f"{provider}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(airflow.providers, provider.rpartition(".")[2], raising=False)

    class Hidden:
        """A finder before all others, which has nothing of the provider."""

        @staticmethod
        def find_spec(name: str, _path: Any = None, _target: Any = None) -> None:
            if f"{name}.".startswith(f"{provider}."):
                raise ModuleNotFoundError(name, name=provider)

    monkeypatch.setattr(sys, "meta_path", [Hidden, *sys.meta_path])
    import_object.cache_clear()


@pytest.mark.parametrize(
    ("notify", "place"),
    [
        ("a@example.org", "notify"),
        ({"email": "a@example.org"}, "notify.on"),
        ({"on": []}, "notify.on"),
        ({"on": "failure"}, "notify"),
        ({"on": "fail", "email": "a@example.org"}, "notify.on"),
        ({"on": ["failure", "late"], "email": "a@example.org"}, "notify.on[1]"),
        ({"on": "deadline", "email": "a@example.org"}, "notify.on"),
        ({"on": "failure", "mail": "a@example.org"}, "notify.mail"),
        ({"on": "failure", "email": 3}, "notify.email"),
        ({"on": "failure", "email": None}, "notify.email"),
        ({"on": "failure", "email": []}, "notify.email"),
        ({"on": "failure", "email": {"cc": "a@example.org"}}, "notify.email"),
        ({"on": "failure", "email": {"to": ""}}, "notify.email.to"),
        ({"on": "failure", "email": {"to": "a", "subjekt": "x"}}, "notify.email.subjekt"),
        ({"on": "failure", "email": {"to": "a", "subject": 3}}, "notify.email.subject"),
        ({"on": "failure", "slack": ["#ops"]}, "notify.slack"),
        ({"on": "failure", "slack": {"text": "x"}}, "notify.slack"),
        ({"on": "failure", "webhook": {"url": "https://x"}}, "notify.webhook.url"),
        ({"on": "failure", "webhook": {"json": {"x": {"$output": "a"}}}}, "notify.webhook"),
        ([MAIL, 3], "notify[1]"),
    ],
)
def test_mistakes(notify: Any, place: str) -> None:
    assert one({"a": {**E, "notify": notify}}).startswith(f"d.tasks.a.{place}\n")
    assert one(default_args={"notify": notify}).startswith(f"d.default_args.{place}\n")
    if "deadline" not in str(notify):
        assert one(notify=notify).startswith(f"d.{place}\n")


def test_a_deadline_that_is_not_there_is_refused() -> None:
    text = one(notify=[MAIL, {"on": "deadline", "email": "a@example.org"}])
    assert text.startswith("d.notify[1]")
    assert "the DAG has no deadline that a run could miss" in text


def test_a_group_function_and_an_operator_that_is_made_have_no_notify() -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator

    ready = {"a": EmptyOperator(task_id="a")}
    with pytest.raises(DagError) as caught:
        dag_of("d", {"tasks": {"a": {"notify": MAIL}}}, ready)
    assert "takes no more arguments" in str(caught.value)


@pytest.mark.parametrize(
    ("notify", "valid"),
    [
        (MAIL, True),
        ([MAIL, {"on": ["failure", "deadline"], "slack": {"channel": "#x"}}], True),
        ({"on": "failure", "email": "${address}"}, True),
        ({"on": "fail", "email": "a@example.org"}, False),
        ({"on": "failure"}, False),
        ({"on": "failure", "mail": "a@example.org"}, False),
        ({"on": "failure", "slack": 3}, False),
        ("a@example.org", False),
    ],
)
def test_the_schema(notify: Any, valid: bool) -> None:  # noqa: FBT001 - a parameter
    validator = jsonschema.Draft7Validator(json_schema())
    document = {"dag_id": "d", "notify": notify, "tasks": {"a": E}}
    assert bool(list(validator.iter_errors(document))) != valid
    if "deadline" not in str(notify):
        of_task = {"dag_id": "d", "tasks": {"a": {**E, "notify": notify}}}
        assert bool(list(validator.iter_errors(of_task))) != valid
        of_all = {"dag_id": "d", "default_args": {"notify": notify}, "tasks": {"a": E}}
        assert bool(list(validator.iter_errors(of_all))) != valid


def test_the_schema_knows_that_a_task_has_no_deadline() -> None:
    document = {
        "dag_id": "d",
        "tasks": {"a": {**E, "notify": {"on": "deadline", "email": "a@example.org"}}},
    }
    assert list(jsonschema.Draft7Validator(json_schema()).iter_errors(document))


def test_on_is_a_word_in_yaml() -> None:
    text = "dag_id: d\nnotify: {on: [failure], email: [a@x]}\ntasks: {a: {operator: empty}}\n"
    assert yaml.safe_load(text)["notify"].keys() == {True, "email"}  # YAML 1.1
    [entry] = read_string(text).dags
    assert entry.dictionary["notify"]["on"] == ["failure"]


# What is sent


class Received(ThreadingHTTPServer):
    """A web server that keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Received

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.bodies.append(json.loads(self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def received() -> Iterator[Received]:
    with Received() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _address(server: Received) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_each_message_has_the_text_of_its_own_run(
    received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DAG processor calls one DAG's callbacks for several runs."""
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", _address(received))
    dag = made(notify={"on": "failure", "webhook": "hook"})
    for run_id in ("first", "second"):
        for callback in dag.on_failure_callback:
            callback({"dag": dag, "run_id": run_id, "reason": "timed_out"})
    assert [body["run_id"] for body in received.bodies] == ["first", "second"]
    assert received.bodies[0] == {
        "event": "failure",
        "dag_id": "d",
        "run_id": "first",
        "text": "d failed: http://localhost:8080/dags/d/runs/first",
        "run_url": "http://localhost:8080/dags/d/runs/first",
        "task_id": "",
        "log_url": "",
    }


def test_a_deadline_is_sent_as_the_triggerer_does(
    received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.triggers.callback import CallbackTrigger

    monkeypatch.setenv("AIRFLOW_CONN_HOOK", _address(received))
    dag = made(notify={"on": "deadline", "webhook": "hook"}, deadline=DEADLINE)
    context = {
        "dag_run": {"dag_id": "d", "dag_run_id": "manual__2026-01-01T00:00:00+00:00"},
        "deadline": {"id": "1", "deadline_time": "2026-01-01T01:00:00Z"},
    }
    callback = alerts(dag)[0].callback
    trigger = CallbackTrigger(callback.path, {**callback.kwargs, "context": context})

    async def run() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    *_, last = asyncio.run(run())
    assert last["state"] == "success", last
    [body] = received.bodies
    url = "http://localhost:8080/dags/d/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert body["text"] == f"d is late: {url}"


FAILING = """
from dag_builder import build_dag

def load():
    raise ValueError("no <rows>")

build_dag("nightly", {
    "notify": {"on": "failure", "email": "run@example.org"},
    "default_args": {
        "notify": {"on": ["failure", "success"], "email": "on-call@example.org", "webhook": "hook"},
    },
    "tasks": {"load": {"callable": load}, "before": {"operator": "bash", "bash_command": "true"}},
})
"""


@pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")
def test_a_failed_task_is_reported_with_a_link_to_its_log(
    received: Received, tmp_path: Path, dag_folder: Path
) -> None:
    (dag_folder / "nightly.py").write_text(FAILING, encoding="utf-8")
    with smtp_server(tmp_path, tls="none") as mailbox:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": SENDER}
        smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": mailbox.port, "extra": extra}
        subprocess.run(
            [sys.executable, "-m", "dag_builder", "run", str(dag_folder / "nightly.py"), "--quiet"],
            env={
                **os.environ,
                "AIRFLOW_CONN_HOOK": _address(received),
                "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
                "AIRFLOW__API__BASE_URL": "https://airflow.example.org",
            },
            check=False,
        )
    mails = {
        mail["Subject"]: (to, str(mail.get_body().get_content())) for to, mail in mailbox.mails
    }
    to, body = mails["Airflow: nightly.load failed, try 1 of 1"]
    assert to == ["on-call@example.org"]
    assert "no &lt;rows&gt;" in body
    hooks = {body["task_id"]: body for body in received.bodies}
    assert (hooks["load"]["event"], hooks["before"]["event"]) == ("failure", "success")
    url = hooks["load"]["log_url"]
    assert url.startswith("https://airflow.example.org/dags/nightly/runs/manual__")
    assert url.endswith("/tasks/load?try_number=1")
    assert f'<a href="{url}">' in body

"""The subjects and texts of notifications: Jinja templates, which Airflow renders when it sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dag_builder import airflow_internals
from dag_builder.read.origins import WithBaseUrl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dag_builder.errors import Path
    from dag_builder.read.values import Reader

_STATES = {
    "failure": "failed",
    "success": "succeeded",
    "retry": "failed and will be retried",
    "skipped": "was skipped",
    "deadline": "is late",
}
#: The place of the address of Airflow's page in a text. The triggerer has no access to its setting.
_BASE_URL = "<base_url>"
_INDEX = "{% if ti.map_index is not none and ti.map_index >= 0 %}[{{ ti.map_index }}]{% endif %}"
_TRY = "{{ ti.try_number }} of {{ ti.max_tries + 1 }}"
_NAMES = {
    "task": "{{ ti.dag_id }}.{{ ti.task_id }}" + _INDEX,
    "run": "{{ dag.dag_id }}",
    "deadline": "{{ dag_run.dag_id }}",
}
_DAG_IDS = {**_NAMES, "task": "{{ ti.dag_id }}"}
_RUN_IDS = {
    "task": "{{ run_id }}",
    "run": "{{ run_id }}",
    "deadline": "{{ dag_run.dag_run_id }}",
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """What a notification is about: an event of a task, a run, or the deadline of a run.

    Airflow renders each of the three with another context.
    """

    about: Literal["task", "run", "deadline"]
    event: str


def _when(name: str, text: str) -> str:
    return f"{{% if {name} is defined and {name} %}}{text}{{% endif %}}"


def default_arguments(
    reader: Reader, target: str, message: Message, given: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """Return the texts of a notifier that the author does not give."""
    about, title = message.about, _title(message)
    found: dict[str, Any] = {}
    match target:
        case "email":
            found["subject"] = f"Airflow: {title}"
            if "template" not in given:
                found["html_content"] = _with_base_url(reader, _html(about, title), path)
        case "webhook":
            if "data" not in given:
                found["json"] = _json(reader, message, title, path)
        case _:
            found["text"] = _with_base_url(reader, _slack(about, title), path)
    return {key: value for key, value in found.items() if key not in given}


def _with_base_url(reader: Reader, text: str, path: Path) -> Any:
    if _BASE_URL not in text:
        return text
    origin = WithBaseUrl(text=text, mark=_BASE_URL)
    return reader.kept(text.replace(_BASE_URL, airflow_internals.base_url()), origin, path)


def _title(message: Message) -> str:
    """Return one line, such as "nightly.load failed, try 3 of 3"."""
    title = f"{_NAMES[message.about]} {_STATES[message.event]}"
    tried = message.about == "task" and message.event != "skipped"
    return f"{title}, try {_TRY}" if tried else title


def _run_url(about: str) -> str:
    return (
        f"{_BASE_URL}/dags/{_DAG_IDS[about]}/runs/{_RUN_IDS[about].replace(' }}', '|urlencode }}')}"
    )


def _html(about: str, title: str) -> str:
    run = _escaped(_RUN_IDS[about])
    log = _link("{{ ti.log_url }}", "{{ ti.log_url }}")
    if about == "task":
        rows = [_row("Run", run), _when("exception", _row("Error", "{{ exception|e }}"))]
        rows.append(_row("Log", log))
    else:
        rows = [_row("Run", _link(_run_url(about), run))]
    if about == "run":
        rows.append(_when("reason", _row("Reason", "{{ reason|e }}")))
        task = _row("Task", "{{ ti.task_id }}" + _INDEX) + _row("Log", log)
        rows.append(_when("ti", task))
    if about == "deadline":
        rows.append(_row("Deadline", "{{ deadline.deadline_time }}"))
    return f"<p>{title}</p><table>{''.join(rows)}</table>"


def _escaped(template: str) -> str:
    return template.replace(" }}", "|e }}")


def _row(label: str, text: str) -> str:
    return f"<tr><td>{label}</td><td>{text}</td></tr>"


def _link(url: str, text: str) -> str:
    return f'<a href="{url}">{text}</a>'


def _slack(about: str, title: str) -> str:
    """Return Slack's own markup, in which a link is <address|text>."""
    log = "<{{ ti.log_url }}|Log of the task>"
    if about == "task":
        return f"*{title}*\nRun {_RUN_IDS[about]}\n{log}"
    run = f"<{_run_url(about)}|Run {_RUN_IDS[about]}>"
    text = f"*{title}*\n{run}"
    return text + _when("ti", f"\n{log}") if about == "run" else text


def _json(reader: Reader, message: Message, title: str, path: Path) -> dict[str, Any]:
    """Return what a webhook receives. `text` is what Mattermost and others show."""
    about = message.about
    url = "{{ ti.log_url }}" if about == "task" else _run_url(about)
    payload = {
        "event": message.event,
        "dag_id": _DAG_IDS[about],
        "run_id": _RUN_IDS[about],
        "text": _with_base_url(reader, f"{title}: {url}", path),
    }
    if about == "task":
        payload |= {"task_id": "{{ ti.task_id }}", "map_index": "{{ ti.map_index }}"}
        payload |= {"try_number": "{{ ti.try_number }}", "log_url": url}
    else:
        payload["run_url"] = _with_base_url(reader, url, path)
    if about == "run":
        log = {"task_id": "{{ ti.task_id }}", "log_url": "{{ ti.log_url }}"}
        payload |= {key: _when("ti", text) for key, text in log.items()}
    return payload

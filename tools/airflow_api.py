"""A small client of Airflow's REST API (v2), as far as proof and tests need it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from tenacity import retry, retry_if_result, wait_fixed
from tenacity.stop import stop_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tenacity import RetryCallState
    from tenacity.retry import retry_base

REQUEST_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.5
PAGE = 100
"""Items of a list in one answer: the most that Airflow gives by default (maximum_page_limit)."""
FINAL_STATES = frozenset({"success", "failed"})


PASSWORD_VARIABLE = "DAIRFLOW_ADMIN_PASSWORD"  # noqa: S105 - its name


class AirflowApiError(Exception):
    """Airflow refused, or did not get to where it should in time."""


class PasswordRefusedError(AirflowApiError):
    """Airflow does not accept the administrator's name with this password."""


@dataclass(frozen=True, kw_only=True)
class TaskInstance:
    """A task of a run: ``hostname`` is the worker's that ran it, empty before it started."""

    task_id: str
    map_index: int
    state: str | None
    hostname: str
    try_number: int


@dataclass(kw_only=True)
class Airflow:
    """An Airflow at ``url``, signed in as ``user``."""

    url: str
    user: str
    password: str = field(repr=False)
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    @classmethod
    def of_stack(cls, outputs: Mapping[str, str]) -> Airflow:
        """Return the Airflow of a stack by its outputs, in plain text.

        The generated password is the account's first one. If it was changed in Airflow, the
        present one is in the environment.
        """
        password = os.environ.get(PASSWORD_VARIABLE) or outputs["adminPassword"]
        return cls(url=outputs["airflowUrl"], user=outputs["adminUser"], password=password)

    def login(self) -> None:
        """Get a token for all later requests.

        Raises:
            PasswordRefusedError: when the password is refused.
            AirflowApiError: when Airflow does not answer.

        """
        credentials = {"username": self.user, "password": self.password}
        asked = self._request("POST", "/auth/token", json=credentials)
        if asked.status_code == requests.codes.unauthorized:
            msg = (
                f"Airflow refused to sign {self.user} in at {self.url} with the password that the"
                " stack generated: it was changed in Airflow, or the account was renamed or"
                " disabled.\n"
                f"Next: export {PASSWORD_VARIABLE}=… with the present one. To set a new generated"
                " password: pulumi config set --path rotateSecrets.admin_password 1 && pulumi up"
            )
            raise PasswordRefusedError(msg)
        answer = _content(asked, "POST", "/auth/token")
        self._session.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def health(self) -> dict[str, str | None]:
        """Return each component's status: ``healthy``, ``unhealthy`` or None (not running)."""
        answer = self._call("GET", "/api/v2/monitor/health")
        return {name: component.get("status") for name, component in answer.items()}

    def wait_for_dag(self, dag_id: str, timeout: float) -> None:
        """Wait until the DAG processor has stored the DAG.

        Raises:
            AirflowApiError: after ``timeout`` seconds in which nothing was stored, with the import
                errors that Airflow shows.

        """

        def find() -> tuple[bool, int]:
            answer = self._get(f"/api/v2/dags/{dag_id}")
            return answer.ok, self._get("/api/v2/dags").text.count('"dag_id"')

        found, _ = _poll(find, lambda seen: not seen[0], timeout)
        if not found:
            shown = "\n".join(self.import_errors()) or "none"
            msg = (
                f"the DAG {dag_id} did not appear, and no other one in {timeout:.0f} s."
                f" Import errors: {shown}"
            )
            raise AirflowApiError(msg)

    def import_errors(self) -> list[str]:
        """Return a text for each DAG file that cannot be imported."""
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def runs(self, dag_id: str) -> list[str]:
        """Return the IDs of a DAG's runs."""
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns")
        return [run["dag_run_id"] for run in answer["dag_runs"]]

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run of a DAG with the parameters ``conf`` and return the run's ID."""
        body = {"logical_date": None, "conf": conf or {}}
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float) -> str:
        """Wait for a run to end and return its final state.

        Raises:
            AirflowApiError: after ``timeout`` seconds without a change, with each task's state.

        """

        def look() -> tuple[str, list[TaskInstance]]:
            return self.run_state(dag_id, run_id), self.tasks(dag_id, run_id)

        state, tasks = _poll(look, lambda seen: seen[0] not in FINAL_STATES, timeout)
        if state not in FINAL_STATES:
            shown = ", ".join(f"{t.task_id} {t.state}" for t in tasks)
            msg = f"{dag_id} {run_id} is still {state}, unchanged for {timeout:.0f} s: {shown}"
            raise AirflowApiError(msg)
        return state

    def tasks(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the run's task instances."""
        answer = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return [
            TaskInstance(
                task_id=task["task_id"],
                map_index=task["map_index"],
                state=task["state"],
                hostname=task["hostname"] or "",
                try_number=task["try_number"],
            )
            for task in answer["task_instances"]
        ]

    def set_variable(self, key: str, value: str) -> None:
        """Store a variable, which Airflow encrypts."""
        self._call("POST", "/api/v2/variables", json={"key": key, "value": value})

    def variable(self, key: str) -> str:
        """Return a variable's value."""
        return str(self._call("GET", f"/api/v2/variables/{key}")["value"])

    def pools(self) -> dict[str, int]:
        """Return the pools with their slots; -1 for no limit."""
        return {pool["name"]: pool["slots"] for pool in self._listed("pools")}

    def connections(self) -> list[str]:
        """Return the IDs of the connections in Airflow's database."""
        return [connection["connection_id"] for connection in self._listed("connections")]

    def variables(self) -> list[str]:
        """Return the keys of the variables in Airflow's database."""
        return [variable["key"] for variable in self._listed("variables")]

    def _listed(self, kind: str) -> Iterator[dict[str, Any]]:
        """Return all items of a list, which Airflow gives in pages."""
        offset = 0
        while True:
            answer = self._call("GET", f"/api/v2/{kind}?limit={PAGE}&offset={offset}")
            yield from answer[kind]
            offset += len(answer[kind])
            if offset >= answer["total_entries"] or not answer[kind]:
                return

    def log(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return the text of a task's log, as the web server fetches it from the worker."""
        path = (
            f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}"
            f"/logs/{task.try_number}?map_index={task.map_index}&full_content=true"
        )
        content = self._call("GET", path)["content"]
        return "\n".join(str(event.get("event", event)) for event in content)

    def _get(self, path: str) -> requests.Response:
        return self._session.get(f"{self.url}{path}", timeout=REQUEST_TIMEOUT_SECONDS)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        return _content(self._request(method, path, **arguments), method, path)

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:  # noqa: ANN401 - requests' own
        try:
            return self._session.request(
                method, f"{self.url}{path}", timeout=REQUEST_TIMEOUT_SECONDS, **arguments
            )
        except requests.RequestException as error:
            msg = f"Airflow did not answer at {self.url}{path}: {error}"
            raise AirflowApiError(msg) from error


def _content(answer: requests.Response, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
    if not answer.ok:
        msg = f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}"
        raise AirflowApiError(msg)
    return answer.json()


class _Unchanged(stop_base):
    """Stops when the answer has been the same for a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answer: object = self
        self._since = 0.0

    def __call__(self, retry_state: RetryCallState) -> bool:
        answer = retry_state.outcome.result() if retry_state.outcome else None
        now = retry_state.seconds_since_start or 0.0
        if answer != self._answer:
            self._answer, self._since = answer, now
        return now - self._since >= self._seconds


def _poll(ask: Callable[[], Any], again: Callable[[Any], bool], timeout: float) -> Any:  # noqa: ANN401 - what ``ask`` returns
    """Ask until ``again`` says no, or until nothing has changed for ``timeout`` seconds.

    Return the last answer.
    """
    condition: retry_base = retry_if_result(again)
    polled = retry(
        retry=condition,
        stop=_Unchanged(timeout),
        wait=wait_fixed(POLL_SECONDS),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )(ask)
    return polled()

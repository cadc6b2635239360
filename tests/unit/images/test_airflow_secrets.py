"""The Airflow image's own package: connections and masks from the secrets' files, results."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from urllib.parse import quote, quote_plus, urlsplit

import pytest
from airflow.sdk import Connection
from airflow.sdk._shared.secrets_masker import redact, reset_secrets_masker
from celery import Celery
from dairflow import masking, secret_files
from dairflow.connections import SecretFileConnections
from dairflow.results import EXPIRES_SECONDS, RedisResults

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "a'b\"c d\\e/f@g:h%i#j?k$l"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECRETS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "database"), [("warehouse", "warehouse"), ("airflow_history", "airflow")]
)
def test_tasks_are_given_connections_to_the_warehouse_and_the_history(
    folder: Path, name: str, database: str
) -> None:
    (folder / "warehouse_password").write_text(f"{HOSTILE}\n")
    uri = SecretFileConnections().get_conn_value(name)
    assert uri
    connection = Connection.from_uri(uri, conn_id=name)
    user = f"warehouse_{sha256(HOSTILE.encode()).hexdigest()[:12]}"  # as pgbouncer.sh has it
    assert (connection.conn_type, connection.login) == ("postgres", user)
    assert (connection.password, connection.schema) == (HOSTILE, database)
    assert (connection.host, connection.port) == ("pgbouncer", 6432)


def test_every_other_connection_is_asked_for_elsewhere(folder: Path) -> None:
    backend = SecretFileConnections()
    assert backend.get_conn_value("warehouse") is None, "this service does not have the password"
    (folder / "warehouse_password").write_text("word")
    assert backend.get_conn_value("mine") is None
    assert backend.get_variable("warehouse") is None


@pytest.fixture
def adapted_masker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's two maskers, with the image's option, as they were before afterwards."""
    for module in (masking.core, masking.sdk):
        reset = module.SecretsMasker.reset_masker
        monkeypatch.setattr(module.SecretsMasker, "reset_masker", reset)
        adapted = module._secrets_masker()
        monkeypatch.setattr(adapted, "secret_mask_adapter", masking.adaptations)


@pytest.mark.usefixtures("adapted_masker")
def test_a_secret_is_masked_in_each_form_also_after_a_reset(folder: Path) -> None:
    """Airflow resets its masker before each task."""
    (folder / "redis_password").write_text(HOSTILE)
    (folder / "a-binary").write_bytes(b"\xff\xfe")
    masking.install()
    reset_secrets_masker()
    for form in (
        HOSTILE,
        quote(HOSTILE, safe=""),
        quote_plus(HOSTILE),
        base64.b64encode(HOSTILE.encode()).decode().rstrip("="),
    ):
        assert redact(f"before {form} after") == "before *** after"


PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7\n}\n"


@pytest.mark.usefixtures("adapted_masker")
@pytest.mark.parametrize(
    "secret", [PEM, PEM.replace("\n", "\r\n"), json.dumps({"type": "a", "key": PEM}, indent=1)]
)
def test_a_line_of_a_secret_is_masked_by_itself(folder: Path, secret: str) -> None:
    """A task that prints the file, or the key that it has, writes a line of the log for each."""
    (folder / "nested").mkdir()
    (folder / "nested/key").write_text(secret)
    masking.install()
    reset_secrets_masker()
    for line in PEM.splitlines()[1:3]:
        assert redact(f"printed: {line}") == "printed: ***"
        encoded = base64.b64encode(line.encode()).decode().rstrip("=")
        assert redact(f"printed: {encoded}") == "printed: ***"
    assert redact("} is public") == "} is public"


@pytest.mark.usefixtures("adapted_masker")
def test_a_secret_outside_of_the_folder_is_masked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = [tmp_path_factory.mktemp("etc") / name for name in ("a:b", "c")]
    for file in files:
        file.write_text(f"the-password-of-{file.name}\n")
    monkeypatch.setenv("SECRET_FILES", "\n".join(str(file) for file in (*files, folder / "none")))
    masking.install()
    reset_secrets_masker()
    assert redact("the-password-of-a:b, the-password-of-c") == "***, ***"


def test_without_secrets_there_is_nothing_to_mask(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRETS", str(tmp_path / "missing"))
    assert list(secret_files.values()) == []
    assert secret_files.read("redis_password") is None


@pytest.fixture
def results() -> RedisResults:
    """The backend as Celery makes it from the setting; it connects when it is first used."""
    app = Celery(
        broker="redis://:a%2Fb@redis:6379/0",
        backend="dairflow.results.RedisResults://",
        set_as_current=False,
    )
    assert isinstance(app.backend, RedisResults)
    return app.backend


def test_results_are_in_another_database_of_the_broker_and_expire(results: RedisResults) -> None:
    url = urlsplit(str(results.url))
    assert (url.hostname, url.password, url.path) == ("redis", "a%2Fb", "/1")
    assert results.connparams["password"] == "a/b"
    assert results.connparams["db"] == 1
    assert results.expires == EXPIRES_SECONDS
    assert (results.serializer, results.accept) == ("json", {"application/json"})


MALFORMED: dict[str, Any] = {
    "pickle": b"\x80\x04\x8c\x02os\x94.",
    "not UTF-8": b"\xff\xfe",
    "null": "null",
    "list": "[]",
    "deep": "[" * 4_000,
    "long": json.dumps({"task_id": "a", "status": "SUCCESS", "result": "x" * 5_000}),
    "no task": json.dumps({"status": "SUCCESS"}),
    "no state": json.dumps({"task_id": "a"}),
    "unknown state": json.dumps({"task_id": "a", "status": "NOPE"}),
    "state of another type": json.dumps({"task_id": "a", "status": {"SUCCESS": 1}}),
    "not a text": 5,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_result_is_a_failure(
    results: RedisResults, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Mock()  # importing Airflow changes what every logger does
    monkeypatch.setattr(f"{RedisResults.__module__}.log", log)
    assert results.decode_result(MALFORMED[name])["status"] == "FAILURE"
    assert "malformed" in log.warning.call_args.args[0]


@pytest.mark.parametrize(
    ("module", "kind"), [("os", "system"), ("builtins", "SystemExit"), ("subprocess", "Popen")]
)
def test_no_class_that_a_result_names_is_looked_up(
    results: RedisResults, module: str, kind: str
) -> None:
    result = {"exc_module": module, "exc_type": kind, "exc_message": ["x"]}
    stored = {"task_id": "a", "status": "FAILURE", "result": result, "children": [["b", None]]}
    meta = results.decode_result(json.dumps(stored))
    assert meta["result"] is None
    assert meta["children"] == []
    assert results.exception_to_python(result) is None


def test_a_result_holds_nothing_but_the_state(results: RedisResults) -> None:
    meta = results._get_result_meta(
        result=ValueError("of the task"), state="FAILURE", traceback="Traceback", request=None
    )
    assert "of the task" not in results.encode(meta)
    assert results.encode_result(ValueError("of the task"), "FAILURE") is None

"""Which of a log's two places the API server reads: its worker, or the copy on the manager."""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.log.file_task_handler import FileTaskHandler

sys.path.append(str(Path(__file__).parents[3] / "images" / "airflow"))
log_copies: Any = import_module("log_copies")

NAME = "dag_id=a/attempt=1.log"
ERROR = "Could not read served logs"


class Worker:
    """A worker that has a log, or one that does not answer."""

    def __init__(self) -> None:
        self.log: str | None = None

    def read(self, *_: object) -> Any:
        return ([ERROR], []) if self.log is None else (["worker"], [iter([self.log])])


def read_file(_: FileTaskHandler, path: Path) -> Any:
    """Read a log's file as Airflow does, and close it."""
    return ([str(path)], [iter([path.read_text()])]) if path.exists() else ([], [])


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    worker = Worker()
    monkeypatch.setattr(FileTaskHandler, "_read_from_logs_server", worker.read)
    monkeypatch.setattr(FileTaskHandler, "_read_from_local", read_file)
    log_copies.install()
    return worker


@pytest.fixture
def handler(worker: Worker, tmp_path: Path) -> Any:
    del worker
    handler = FileTaskHandler(str(tmp_path))
    handler.local_base = str(tmp_path)
    (tmp_path / NAME).parent.mkdir()
    return handler


def copy(handler: Any, text: str, *, age: float) -> Path:
    path = Path(handler.local_base, NAME)
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def local(handler: Any) -> str:
    return text_of(handler._read_from_local(Path(handler.local_base, NAME)))


def served(handler: Any) -> str:
    return text_of(handler._read_from_logs_server(None, NAME))


def text_of(found: Any) -> str:
    return "".join(line for stream in found[1] for line in stream)


def test_a_copy_that_is_complete_is_read(handler: Any) -> None:
    copy(handler, "all of it", age=60)
    assert local(handler) == "all of it"


def test_a_log_that_was_just_written_is_its_workers(handler: Any, worker: Worker) -> None:
    copy(handler, "most of it", age=1)
    worker.log = "all of it"
    assert (local(handler), served(handler)) == ("", "all of it")


def test_the_copy_is_read_at_once_if_the_worker_does_not_answer(handler: Any) -> None:
    copy(handler, "what there is", age=1)
    assert (local(handler), served(handler)) == ("", "what there is")


def test_a_complete_copy_is_not_read_twice(handler: Any) -> None:
    copy(handler, "all of it", age=60)
    assert served(handler) == ""


def test_without_a_copy_the_worker_s_answer_stays(handler: Any, worker: Worker) -> None:
    assert handler._read_from_logs_server(None, NAME) == ([ERROR], [])
    worker.log = "all of it"
    assert (local(handler), served(handler)) == ("", "all of it")

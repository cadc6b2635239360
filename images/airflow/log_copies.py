"""Reading task logs from the copies that a manager keeps, as the API server does.

Airflow reads a log's file beside the API server first, and calls the worker for a running task, or
if there is no such file. Here that file is a copy, a few seconds behind: the log of a task that has
just ended would look complete without its last lines. So a log that was written to a moment ago is
the worker's, if it answers, and otherwise the copy.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.utils.log.file_task_handler import FileTaskHandler

if TYPE_CHECKING:
    from airflow._shared.logging.remote import StreamingLogResponse
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory

FRESH_SECONDS = 15.0
"""Several times what passes between two copies (``task_logs.sh``)."""


def install() -> None:
    """Change where Airflow reads a log from.

    Raises:
        AttributeError: if this Airflow has no such handler. Then the image's build fails.

    """
    read_copy = FileTaskHandler._read_from_local  # noqa: SLF001
    read_worker = FileTaskHandler._read_from_logs_server  # noqa: SLF001

    def read_complete_copy(self: FileTaskHandler, worker_log_path: Path) -> StreamingLogResponse:
        return ([], []) if is_fresh(worker_log_path) else read_copy(self, worker_log_path)

    def read_worker_or_copy(
        self: FileTaskHandler, ti: TaskInstance | TaskInstanceHistory, worker_log_rel_path: str
    ) -> StreamingLogResponse:
        sources, streams = read_worker(self, ti, worker_log_rel_path)
        if streams:
            return sources, streams
        path = Path(self.local_base, worker_log_rel_path)
        copied_from, copies = read_copy(self, path) if is_fresh(path) else ([], [])
        return (copied_from, copies) if copies else (sources, streams)

    FileTaskHandler._read_from_local = read_complete_copy  # noqa: SLF001
    FileTaskHandler._read_from_logs_server = read_worker_or_copy  # noqa: SLF001


def is_fresh(log: Path) -> bool:
    """Whether a log was written to a moment ago: copies keep the time of the original."""
    newest = max((file.stat().st_mtime for file in log.parent.glob(f"{log.name}*")), default=0.0)
    return time.time() - newest < FRESH_SECONDS

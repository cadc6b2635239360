"""What cannot be written as plain Airflow Python, and why."""

from __future__ import annotations

from dag_builder.errors import Path, format_path


class Refusal(Exception):
    """Something cannot be written as Python. `path` leads to it from the DAG's name."""

    def __init__(self, reason: str, path: Path = ()) -> None:
        """Say what cannot be written, and why."""
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def at(self, path: Path) -> Refusal:
        """The same refusal with its place, if it has none yet."""
        return self if self.path else Refusal(self.reason, path)

    def __str__(self) -> str:
        return f"{format_path(self.path)}\n    {self.reason}" if self.path else self.reason

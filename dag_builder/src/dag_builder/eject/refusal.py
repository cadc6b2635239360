"""The error for what cannot be written as plain Airflow Python."""

from __future__ import annotations

from typing import NoReturn

from dag_builder.errors import Path, format_path


class EjectError(Exception):
    """Something cannot be written as Python. `path` leads to it from the DAG's name."""

    def __init__(self, reason: str, path: Path = ()) -> None:
        """Set the reason, and the path of what cannot be written."""
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def at(self, path: Path) -> EjectError:
        """Return the same error with its place, if it has none yet."""
        return self if self.path else EjectError(self.reason, path)

    def __str__(self) -> str:
        return f"{format_path(self.path)}\n    {self.reason}" if self.path else self.reason


def refuse(reason: str, path: Path = ()) -> NoReturn:
    """Raise an EjectError."""
    raise EjectError(reason, path)

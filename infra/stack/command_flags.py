"""Read the flags of a service's command as Airflow's own command line does."""

from __future__ import annotations

import argparse
from typing import NoReturn

from infra.stack.errors import StackError


class UnreadableCommandError(StackError):
    """A command that Airflow refuses; the text is argparse's reason."""


class CommandFlags(argparse.ArgumentParser):
    """A parser that raises `UnreadableCommandError` and never ends the program."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse prints elsewhere."""
        raise UnreadableCommandError(message)

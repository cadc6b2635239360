"""Errors of stack operations."""

from infra.errors import UserError


class StackError(UserError):
    """The stack could not be rendered, deployed or removed; the text names the part and the cause.

    For a failed task it names the service, the task, the node, the engine's error and the last
    lines of the task's log, with every secret's value masked.
    """

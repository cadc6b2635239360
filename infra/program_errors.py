"""Reports errors for users from the program itself, outside of resources."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pulumi

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def shown_to_users() -> Generator[None]:
    """Convert a ``UserError`` to Pulumi's own error, which is shown without a traceback.

    Raises:
        pulumi.RunError: with the error's text.

    """
    try:
        yield
    except UserError as error:
        raise pulumi.RunError(str(error)) from None

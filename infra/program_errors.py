"""How the program, other than a resource, ends with an error for users."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pulumi

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def shown_to_users() -> Generator[None]:
    """Turn an error for users into Pulumi's own, which is shown without a traceback.

    Raises:
        pulumi.RunError: with the error's text.

    """
    try:
        yield
    except UserError as error:
        raise pulumi.RunError(str(error)) from None

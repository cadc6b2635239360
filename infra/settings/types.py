"""Types of settings' values, which Pulumi passes as the text that the user gave.

Pydantic alone accepts more spellings (``1_000``, ``2.0``, ``on``, true for 1) than the checks
between the settings expect.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

MAX_PORT = 65_535


def _whole_number(value: object) -> object:
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]+", str(value)):
        msg = "a whole number"
        raise ValueError(msg)
    return value


def _true_or_false(value: object) -> object:
    if not isinstance(value, bool) and value not in ("true", "false"):
        msg = "true or false"
        raise ValueError(msg)
    return value


Integer = Annotated[int, BeforeValidator(_whole_number)]
Port = Annotated[Integer, Field(ge=1, le=MAX_PORT)]
Boolean = Annotated[bool, BeforeValidator(_true_or_false)]

Problem = tuple[str, object, str]
"""Key, given value, what is valid."""

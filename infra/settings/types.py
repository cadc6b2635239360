"""Types of settings' values, which Pulumi passes as the text that the user gave.

Pydantic alone accepts more spellings (``1_000``, ``2.0``, ``on``, true for 1) than the checks
between the settings expect.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from infra.stack.network import NARROWEST_PREFIX, WIDEST_PREFIX

MAX_PORT = 65_535
_PRIVATE = tuple(
    IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)


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


def overlay_network(value: str) -> str:
    """Check that a text is a valid network for the stack; empty means an automatic choice."""
    if not value:
        return value
    try:
        subnet = IPv4Network(value)
    except ValueError:
        subnet = None
    if (
        subnet is None
        or not WIDEST_PREFIX <= subnet.prefixlen <= NARROWEST_PREFIX
        or not any(subnet.subnet_of(private) for private in _PRIVATE)
    ):
        msg = (
            f"a private IPv4 network of /{WIDEST_PREFIX} to /{NARROWEST_PREFIX},"
            " such as 10.192.0.0/20"
        )
        raise ValueError(msg)
    return str(subnet)


Integer = Annotated[int, BeforeValidator(_whole_number)]
Port = Annotated[Integer, Field(ge=1, le=MAX_PORT)]
Boolean = Annotated[bool, BeforeValidator(_true_or_false)]
OverlayNetwork = Annotated[str, AfterValidator(overlay_network)]

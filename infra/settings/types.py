"""Types of settings' values, which Pulumi passes as the text that the user gave.

Pydantic alone accepts more spellings (``1_000``, ``2.0``, ``on``, true for 1) than the checks
between the settings expect.
"""

from __future__ import annotations

import re
import ssl
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from infra.stack.network import NARROWEST_PREFIX, WIDEST_PREFIX

MAX_PORT = 65_535
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST = rf"(?![^:]{{254}}){_LABEL}(\.{_LABEL})*"
"""A pattern of a host name (RFC 1123, 2.1) or an IPv4 address."""
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


def matching(pattern: str, valid: str) -> AfterValidator:
    """Return a check that a whole text matches; ``valid`` is what the report recommends."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(valid)
        return value

    return AfterValidator(check)


def certificates(value: str) -> str:
    """Check that a text is the PEM form of certificates, as OpenSSL reads it; it may be empty."""
    try:
        if value:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=value)
    except (ssl.SSLError, ValueError, TypeError):
        msg = 'certificates as a PEM text, such as "$(cat ca.pem)" after --'
        raise ValueError(msg) from None
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
Certificates = Annotated[str, AfterValidator(certificates)]
OverlayNetwork = Annotated[str, AfterValidator(overlay_network)]

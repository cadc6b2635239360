"""Checks the settings of secrets: rotations, and the user's Fernet key."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from typing import TYPE_CHECKING

from infra.settings.problem import HIDDEN, invalid, unknown, unused
from infra.stack.backups import BACKUP_PASSPHRASE
from infra.stack.secrets import SECRET_NAMES
from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem

JOIN_TOKENS = "join_tokens"
OPERATOR_KEY = "operator_key"
REGISTRY_CERTIFICATE = "registry_certificate"
ROTATED = (
    *(name for name in SECRET_NAMES if name != BACKUP_PASSPHRASE),
    "registry_password",
    JOIN_TOKENS,
    OPERATOR_KEY,
    REGISTRY_CERTIFICATE,
)
"""Secrets allowed in ``rotateSecrets``. The passphrase of a backup repository never changes."""

_COUNT = re.compile(r"0*[1-9][0-9]{0,8}")
FERNET_KEY_BYTES = 32


def secret_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Report problems of ``rotateSecrets`` and ``fernetKey``."""
    asked = raw.get("rotateSecrets")
    if is_object(asked):
        for name, number in as_object(asked).items():
            yield from _rotation_problems(name, number)
        if "fernet_key" in as_object(asked) and raw.get("fernetKey"):
            hint = "You set the key yourself: set fernetKey to the next one."
            yield unused("rotateSecrets.fernet_key", hint)
    key = raw.get("fernetKey")
    if key and not all(map(_is_fernet_key, str(key).split(","))):
        valid = "32 bytes in URL-safe base64; an older key may follow after a comma"
        yield invalid("fernetKey", HIDDEN, valid)


def _rotation_problems(name: str, number: object) -> Iterator[Problem]:
    if name not in ROTATED:
        close = difflib.get_close_matches(name, ROTATED, n=1)
        yield unknown(
            f"rotateSecrets.{name}",
            "secret",
            valid=f"one of {', '.join(ROTATED)}",
            suggestion=close[0] if close else "",
        )
    elif isinstance(number, bool) or not _COUNT.fullmatch(str(number)):
        valid = "a whole number from 1 on, a new one for each rotation"
        yield invalid(f"rotateSecrets.{name}", number, valid)


def _is_fernet_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == FERNET_KEY_BYTES
    except (binascii.Error, ValueError):
        return False

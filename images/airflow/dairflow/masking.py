"""Masks in every log what the secrets' files contain.

Airflow masks the values of its own options and of connections that were read, not other files. It
drops all masks before each task (``supervise_task`` resets the masker).
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from airflow._shared.secrets_masker import secrets_masker as core
from airflow.sdk._shared.secrets_masker import secrets_masker as sdk

from dairflow import secret_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LINE_LENGTH = 8
"""Characters of a line of a secret from which on it is masked by itself."""
_LINE_BREAK = re.compile(r"\r?\n|\\n")
"""As in a file, and as in a JSON file's text."""


def adaptations(secret: str) -> list[str]:
    """Return the other forms in which a secret gets into a log; ``[logging] secret_mask_adapter``.

    In a URL, in a form's data, and in base64.
    """
    encoded = base64.b64encode(secret.encode()).decode()
    return [quote(secret, safe=""), quote_plus(secret), encoded.rstrip("=")]


def install() -> None:
    """Mask the secrets in this process and in all that it forks, also after a reset."""
    for module in (core, sdk):
        masker: Any = module.SecretsMasker
        masker.reset_masker = _then_mask(masker.reset_masker)
        _mask(module._secrets_masker())  # noqa: SLF001 - Airflow has no other name for it


def _then_mask(reset: Callable[[Any], None]) -> Callable[[Any], None]:
    def reset_masker(masker: Any) -> None:  # noqa: ANN401 - one of two classes of Airflow's
        reset(masker)
        _mask(masker)

    return reset_masker


def _mask(masker: Any) -> None:  # noqa: ANN401 - one of two classes of Airflow's
    lines: set[str] = set()
    for secret in secret_files.values():
        for part in {secret, *secret.split(",")}:  # Fernet keys, while they are being rotated
            masker.add_mask(part)
        lines |= _lines(secret)
    if lines:
        # All at once: Airflow compiles its expression again with each mask, before each task.
        forms = {form for line in lines for form in (line, *adaptations(line))}
        masker.patterns |= {re.escape(form) for form in forms}
        masker.replacer = re.compile("|".join(sorted(masker.patterns)))


def _lines(secret: str) -> set[str]:
    """Return the lines of a secret that has several, such as a key or a JSON file with one.

    A log has them one by one. Short ones, such as ``}``, are in other texts as well.
    """
    lines = [line.strip() for line in _LINE_BREAK.split(secret)]
    return {line for line in lines if len(line) >= LINE_LENGTH} if len(lines) > 1 else set()

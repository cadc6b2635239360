"""Finds the secret values of settings, so that a report of problems does not show them.

Pulumi reports which settings contain a secret, but not which entries of a list are secret; the
stack's file has that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import yaml
from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def secret_texts(settings: Mapping[str, object], file: Path) -> frozenset[str]:
    """Return the texts in ``settings`` that are not in plain text in ``file``.

    Args: settings: settings with a secret: full key (``dairflow:hosts``) → value, decrypted. file:
    the stack's own settings, ``Pulumi.<stack>.yaml``. Without it, everything is secret.

    """
    clear = _settings_of(file)
    return frozenset(
        text
        for key, value in settings.items()
        for text in set(leaves(value)) - set(leaves(_without_secrets(clear.get(key))))
    )


def with_secrets(value: object, key: str, file: Path) -> object:
    """Return a setting's value with each secret in it as a `SecretStr`.

    Args:
        value: the value, decrypted.
        key: the setting's full name (``dairflow:airflowConfig``).
        file: the stack's own settings. Without it, everything is secret.

    """
    return _marked(value, _settings_of(file).get(key))


def _marked(value: object, clear: object) -> object:
    if isinstance(value, dict):
        known = cast("dict[str, object]", clear) if isinstance(clear, dict) else {}
        entries = cast("dict[str, object]", value)
        return {key: _marked(entry, known.get(key)) for key, entry in entries.items()}
    is_clear = value is None or (clear is not None and not isinstance(clear, dict | list))
    return value if is_clear else SecretStr(str(value))


def leaves(value: object) -> Iterator[str]:
    """Return the texts, numbers and booleans in a value, as texts."""
    match value:
        case dict():
            for entry in cast("dict[str, object]", value).values():
                yield from leaves(entry)
        case list() | tuple():
            for entry in cast("list[object]", value):
                yield from leaves(entry)
        case None:
            return
        case _:
            yield str(value)


def _settings_of(file: Path) -> dict[str, object]:
    try:
        written: Any = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
        return dict(written["config"])
    except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError):
        return {}


def _without_secrets(value: object) -> object:
    """Leave out encrypted values, which Pulumi writes as objects with the single key ``secure``."""
    match value:
        case dict() if set(cast("dict[str, object]", value)) == {"secure"}:
            return None
        case dict():
            entries = cast("dict[str, object]", value).values()
            return [_without_secrets(entry) for entry in entries]
        case list():
            return [_without_secrets(entry) for entry in cast("list[object]", value)]
        case _:
            return value

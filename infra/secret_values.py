"""Which values are secrets, so that a report of mistakes does not show them.

Pulumi tells a program which settings hold a secret, and not which entries of a list are one; the
stack's file says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def secret_texts(settings: Mapping[str, object], file: Path) -> frozenset[str]:
    """Return the texts in ``settings`` that do not stand in clear in ``file``.

    Args:
        settings: what holds a secret: full key (``dairflow:hosts``) → value, decrypted.
        file: the stack's own settings, ``Pulumi.<stack>.yaml``. Without it, everything is secret.

    """
    clear = _settings_of(file)
    return frozenset(
        text
        for key, value in settings.items()
        for text in set(leaves(value)) - set(leaves(_without_secrets(clear.get(key))))
    )


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
    """Leave out what is encrypted, which Pulumi writes as an object of the key ``secure`` alone."""
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

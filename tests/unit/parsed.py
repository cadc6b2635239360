"""Checks settings with the program's own table of targets."""

from collections.abc import Callable, Collection
from typing import Any

from infra.machines.targets import TARGETS
from infra.settings import parse as settings_parse


def parse(
    raw: dict[str, Any], secrets: Callable[[], Collection[str]] = frozenset[str]
) -> Any:  # the model of the target that `raw` names
    return settings_parse.parse(raw, TARGETS, secrets)

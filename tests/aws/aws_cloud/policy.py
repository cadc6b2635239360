"""The IAM policies of docs/aws.md, held against the calls that were made."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENT = Path(__file__).parents[3] / "docs" / "aws.md"
_POLICY = re.compile(r"```json\n(.*?)```", re.DOTALL)
_EXPLAINED = re.compile(r"^\| `(\w+:\w+)` \|", re.MULTILINE)


def allowed() -> list[str]:
    """Return the actions that the policies allow."""
    found = _POLICY.findall(DOCUMENT.read_text())
    assert found, f"{DOCUMENT} has no policy"
    statements = [one for text in found for one in json.loads(text)["Statement"]]
    return [action for statement in statements for action in statement["Action"]]


def refused(calls: Iterable[str]) -> list[str]:
    """Return the calls that the policy does not allow."""
    return sorted(c for c in calls if not any(fnmatch(c, action) for action in allowed()))


def unneeded(calls: set[str]) -> list[str]:
    """Return the actions that nothing called, and that have no reason in the document."""
    explained = set(_EXPLAINED.findall(DOCUMENT.read_text()))
    assert explained <= set(allowed())
    return sorted(
        action
        for action in allowed()
        if action not in explained and not any(fnmatch(call, action) for call in calls)
    )

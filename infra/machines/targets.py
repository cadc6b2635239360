"""The table of targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra.machines.aws.target import AwsTarget
from infra.machines.existing.target import ExistingTarget
from infra.machines.local.target import LocalTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.machines.target import Target

TARGETS: Mapping[str, Target[Any, Any]] = {
    target.name: target for target in (LocalTarget(), ExistingTarget(), AwsTarget())
}
"""Target by the value of the setting ``target``."""

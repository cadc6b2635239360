"""The settings of the backups, and the checks that a type cannot express. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from infra.setting_types import Boolean, Integer  # noqa: TC001 - pydantic evaluates the fields
from infra.settings_report import HIDDEN
from infra.stack.backups import BackupOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings_report import Problem

PASSPHRASE_CHARACTERS = 16
"""The fewest characters of a passphrase."""


class BackupSettings(BaseModel):
    """When backups are made, where they are, and what a new stack begins with."""

    backups: Boolean = True
    backup_every_hours: Annotated[Integer, Field(ge=1, le=168, alias="backupEveryHours")] = 6
    backup_retention_days: Annotated[
        Integer, Field(ge=1, le=3_650, alias="backupRetentionDays")
    ] = 14
    backup_passphrase: Annotated[str, Field(alias="backupPassphrase", repr=False)] = ""

    @property
    def backup_options(self) -> BackupOptions:
        """What the services get to know."""
        return BackupOptions(
            enabled=self.backups,
            every_hours=self.backup_every_hours,
            retention_days=self.backup_retention_days,
        )


def backup_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Find what is wrong with the settings of the backups."""
    passphrase = raw.get("backupPassphrase")
    if passphrase and not _is_passphrase(str(passphrase)):
        yield (
            "backupPassphrase",
            HIDDEN,
            f"{PASSPHRASE_CHARACTERS} characters or more, on one line, without a space at its ends",
        )


def _is_passphrase(text: str) -> bool:
    return len(text) >= PASSPHRASE_CHARACTERS and re.fullmatch(r"\S.*\S", text) is not None

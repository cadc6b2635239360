"""The backups of the stack's databases: what the services get to know about them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKUP_PASSPHRASE = "backup_passphrase"  # noqa: S105 - its name
"""The secret that encrypts the repository. Whoever restores on another stack needs it."""


@dataclass(frozen=True, kw_only=True)
class BackupOptions:
    """When backups are made, and for how long they are kept."""

    enabled: bool = True
    every_hours: int = 6
    retention_days: int = 14

    @property
    def variables(self) -> Mapping[str, str]:
        """What the compose file leaves open about backups."""
        return {
            "DAIRFLOW_BACKUPS": "on" if self.enabled else "off",
            "DAIRFLOW_BACKUP_REPLICAS": str(int(self.enabled)),
            "DAIRFLOW_BACKUP_EVERY_HOURS": str(self.every_hours),
            "DAIRFLOW_BACKUP_RETENTION_DAYS": str(self.retention_days),
        }

"""Backup options of the stack's databases, as the services receive them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKUP_PASSPHRASE = "backup_passphrase"  # noqa: S105 - its name
"""The secret that encrypts the repository. A restore on another stack needs it."""


ACCESS_KEY = "backup_s3_access_key"
SECRET_KEY = "backup_s3_secret_key"  # noqa: S105 - its name
AUTHORITY = "backup_s3_ca"


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket of Amazon's S3, or of another server with its protocol.

    ``endpoint`` is empty for Amazon's own; ``authority`` is a PEM text, empty for a public one.
    """

    name: str
    endpoint: str = ""
    region: str
    path: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    authority: str = ""

    @property
    def variables(self) -> Mapping[str, str]:
        """The compose file's variables for the bucket."""
        return {
            "DAIRFLOW_BACKUP_S3_BUCKET": self.name,
            "DAIRFLOW_BACKUP_S3_ENDPOINT": self.endpoint,
            "DAIRFLOW_BACKUP_S3_REGION": self.region,
            "DAIRFLOW_BACKUP_S3_PATH": self.path,
        }

    @property
    def secrets(self) -> Mapping[str, str]:
        """Additional secret files for the services that read the repository."""
        files = {
            ACCESS_KEY: self.access_key,
            SECRET_KEY: self.secret_key,
            AUTHORITY: self.authority,
        }
        return {name: value for name, value in files.items() if value}


@dataclass(frozen=True, kw_only=True)
class BackupOptions:
    """When backups are made, how long they are kept, and what a new cluster restores."""

    enabled: bool = True
    every_hours: int = 6
    retention_days: int = 14
    restore_from: str = ""
    """What a cluster without data restores: `latest`, a moment, or a backup's label."""

    bucket: Bucket | None = None
    """The bucket of the backups; None for the volume on the first manager."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """Additional secret files for the services that read the repository."""
        return self.bucket.secrets if self.bucket else {}

    @property
    def variables(self) -> Mapping[str, str]:
        """The compose file's variables for backups."""
        return {
            "DAIRFLOW_BACKUPS": "on" if self.enabled else "off",
            "DAIRFLOW_BACKUP_REPLICAS": str(int(self.enabled)),
            "DAIRFLOW_BACKUP_EVERY_HOURS": str(self.every_hours),
            "DAIRFLOW_BACKUP_RETENTION_DAYS": str(self.retention_days),
            "DAIRFLOW_RESTORE_FROM": self.restore_from,
            **(self.bucket.variables if self.bucket else {}),
        }

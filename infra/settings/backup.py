"""The settings of the backups, and the checks that a type cannot express. No I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, Field

from infra.settings.problem import HIDDEN, invalid, missing, unused, unused_without
from infra.settings.types import HOST, Boolean, Certificates, Integer, matching
from infra.stack.backups import BackupOptions, Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.settings.problem import Problem

PASSPHRASE_CHARACTERS = 16
"""The minimum length of a passphrase."""


LATEST = "latest"
_LABEL = re.compile(r"\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?")
_VALID_SOURCE = (
    "latest; a moment of the past with its time zone, such as 2026-11-27T10:15:00Z; or a backup's"
    " label, such as 20261127-101500F"
)


def _source(value: str) -> str:
    if value in ("", LATEST) or _LABEL.fullmatch(value):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment > datetime.now(UTC):
        raise ValueError(_VALID_SOURCE)
    return value


_BUCKET, _VALID_BUCKET = r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", "a bucket's name such as nightly-1"
_ENDPOINT, _VALID_ENDPOINT = (
    rf"({HOST}(:[0-9]{{1,5}})?)?",
    "a host name, with a port if it is not 443, such as s3.example.org:9000",
)
_REGION, _VALID_REGION = r"[a-z0-9-]+", "a region such as eu-central-1"
_PATH, _VALID_PATH = r"(/[A-Za-z0-9._-]+)+", "a folder in the bucket such as /dairflow"


class BackupSettings(BaseModel):
    """When and where backups are made, and what a new stack restores."""

    backups: Boolean = True
    backup_every_hours: Annotated[Integer, Field(ge=1, le=168, alias="backupEveryHours")] = 6
    backup_retention_days: Annotated[
        Integer, Field(ge=1, le=3_650, alias="backupRetentionDays")
    ] = 14
    backup_passphrase: Annotated[str, Field(alias="backupPassphrase", repr=False)] = ""

    backup_s3_bucket: Annotated[
        str, matching(_BUCKET, _VALID_BUCKET), Field(alias="backupS3Bucket")
    ] = ""
    backup_s3_endpoint: Annotated[
        str, matching(_ENDPOINT, _VALID_ENDPOINT), Field(alias="backupS3Endpoint")
    ] = ""
    backup_s3_region: Annotated[
        str, matching(_REGION, _VALID_REGION), Field(alias="backupS3Region")
    ] = "us-east-1"
    backup_s3_path: Annotated[str, matching(_PATH, _VALID_PATH), Field(alias="backupS3Path")] = (
        "/dairflow"
    )
    backup_s3_access_key: Annotated[str, Field(alias="backupS3AccessKey", repr=False)] = ""
    backup_s3_secret_key: Annotated[str, Field(alias="backupS3SecretKey", repr=False)] = ""
    backup_s3_ca: Annotated[Certificates, Field(alias="backupS3Ca")] = ""
    restore_from: Annotated[str, AfterValidator(_source), Field(alias="restoreFrom")] = ""

    @property
    def backup_options(self) -> BackupOptions:
        """The backup options of the services."""
        return BackupOptions(
            enabled=self.backups,
            every_hours=self.backup_every_hours,
            retention_days=self.backup_retention_days,
            restore_from=self.restore_from,
            bucket=self._bucket,
        )

    @property
    def _bucket(self) -> Bucket | None:
        if not self.backup_s3_bucket:
            return None
        return Bucket(
            name=self.backup_s3_bucket,
            endpoint=self.backup_s3_endpoint,
            region=self.backup_s3_region,
            path=self.backup_s3_path,
            access_key=self.backup_s3_access_key,
            secret_key=self.backup_s3_secret_key,
            authority=self.backup_s3_ca,
        )


def backup_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    """Report problems of the backup settings."""
    passphrase = raw.get("backupPassphrase")
    if passphrase and not _is_passphrase(str(passphrase)):
        yield invalid(
            "backupPassphrase",
            HIDDEN,
            f"{PASSPHRASE_CHARACTERS} characters or more, on one line, without spaces at its ends",
        )
    yield from _bucket_problems(raw)
    if raw.get("restoreFrom") and str(raw.get("backups", True)).lower() == "false":
        hint = "A restored cluster continues its backups, but backups is false."
        yield unused("restoreFrom", hint)


_KEYS = ("backupS3AccessKey", "backupS3SecretKey")
_OF_A_BUCKET = ("backupS3Endpoint", *_KEYS, "backupS3Ca")


def _bucket_problems(raw: Mapping[str, object]) -> Iterator[Problem]:
    if not raw.get("backupS3Bucket"):
        yield from unused_without("backupS3Bucket", _OF_A_BUCKET, raw)
        return
    for key in _KEYS:
        value = str(raw.get(key) or "")
        if not re.fullmatch(r"\S+", value):
            valid = "the bucket's key, set with --secret"
            yield invalid(key, HIDDEN, valid) if value else missing(key, valid)


def _is_passphrase(text: str) -> bool:
    return len(text) >= PASSPHRASE_CHARACTERS and re.fullmatch(r"\S.*\S", text) is not None

"""The settings of the backups."""

from __future__ import annotations

import pytest

from infra.settings.parse import SettingsError
from tests.unit.parsed import parse


def test_backups_are_on_by_default() -> None:
    settings = parse({})
    assert settings.backup_options.enabled
    assert (settings.backup_every_hours, settings.backup_retention_days) == (6, 14)


def test_a_passphrase_of_the_users_is_the_stacks_secret() -> None:
    given = {"backupPassphrase": "correct horse battery"}
    assert parse(given).given_secrets == {"backup_passphrase": "correct horse battery"}


@pytest.mark.parametrize(
    "passphrase", ["short", " with a space at an end", "two lines\nof characters"]
)
def test_a_passphrase_that_cannot_be_one_is_refused_and_not_shown(passphrase: str) -> None:
    with pytest.raises(SettingsError, match=r"backupPassphrase: the value \(not shown\)") as caught:
        parse({"backupPassphrase": passphrase})
    assert passphrase not in str(caught.value)


def test_the_passphrase_of_a_repository_does_not_rotate() -> None:
    with pytest.raises(SettingsError, match=r"rotateSecrets.backup_passphrase: unknown secret"):
        parse({"rotateSecrets": {"backup_passphrase": "1"}})


@pytest.mark.parametrize(
    "source",
    ["latest", "2026-01-27T10:15:00Z", "2026-01-27T10:15:00.25+02:00", "20261127-101500F",
     "20261127-101500F_20261128-101500I"],
)  # fmt: skip
def test_what_a_cluster_can_begin_with(source: str) -> None:
    assert parse({"restoreFrom": source}).backup_options.restore_from == source


@pytest.mark.parametrize(
    "source", ["newest", "2026-01-27T10:15:00", "2999-01-27T10:15:00Z", "20261127-101500I", "$(x)"]
)
def test_what_no_cluster_can_begin_with(source: str) -> None:
    """A moment without a time zone is two moments; one of the future has not happened."""
    with pytest.raises(SettingsError, match=r"restoreFrom: .* is not valid. Use latest; a moment"):
        parse({"restoreFrom": source})


BUCKET = {
    "backupS3Bucket": "nightly",
    "backupS3AccessKey": "AKIA0",
    "backupS3SecretKey": "hunter2hunter2",
}


def test_a_bucket_has_keys_which_are_secrets() -> None:
    options = parse(BUCKET).backup_options
    assert options.secrets == {
        "backup_s3_access_key": "AKIA0",
        "backup_s3_secret_key": "hunter2hunter2",
    }
    assert "hunter2hunter2" not in f"{options!r}{options.variables}"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"backupS3Bucket": "nightly", "backupS3AccessKey": "AKIA0"},
            "backupS3SecretKey: must be set. Use the bucket's key",
        ),
        (
            {"backupS3SecretKey": "hunter2"},
            "backupS3SecretKey: must not be set. It belongs to",
        ),
        (
            {**BUCKET, "backupS3Path": "dairflow"},
            "backupS3Path: 'dairflow' is not valid. Use a folder in the bucket",
        ),
        (
            {**BUCKET, "backupS3Endpoint": "https://s3"},
            "backupS3Endpoint: 'https://s3' is not valid. Use a host name",
        ),
        (
            {**BUCKET, "backupS3Endpoint": "s3..example.org"},
            "backupS3Endpoint: 's3..example.org' is not valid. Use a host name",
        ),
        (
            {**BUCKET, "backupS3Ca": "/ca.pem"},
            "backupS3Ca: '/ca.pem' is not valid. Use certificates as a PEM text",
        ),
    ],
)
def test_a_bucket_is_given_as_a_whole(raw: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert expected in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_restore_needs_backups() -> None:
    with pytest.raises(SettingsError, match=r"restoreFrom: must not be set\. A restored cluster"):
        parse({"restoreFrom": "latest", "backups": "false"})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"backupEveryHours": "0"}, "backupEveryHours: '0' is not valid. Use 1 or more"),
        ({"backupRetentionDays": "0"}, "backupRetentionDays: '0' is not valid. Use 1 or more"),
        ({"backups": "yes"}, "backups: 'yes' is not valid. Use true or false"),
    ],
)
def test_a_mistake_is_reported_with_what_is_valid(raw: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert expected in str(caught.value)

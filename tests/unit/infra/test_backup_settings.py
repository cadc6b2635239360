"""The settings of the backups."""

from __future__ import annotations

import pytest

from infra.settings import SettingsError, parse


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
    with pytest.raises(
        SettingsError, match="backupPassphrase: a value that is not shown"
    ) as caught:
        parse({"backupPassphrase": passphrase})
    assert passphrase not in str(caught.value)


def test_the_passphrase_of_a_repository_does_not_rotate() -> None:
    with pytest.raises(SettingsError, match=r"rotateSecrets.backup_passphrase: '1' given; valid"):
        parse({"rotateSecrets": {"backup_passphrase": "1"}})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"backupEveryHours": "0"}, "backupEveryHours: '0' given; valid: 1 or more"),
        ({"backupRetentionDays": "0"}, "backupRetentionDays: '0' given; valid: 1 or more"),
        ({"backups": "yes"}, "backups: 'yes' given; valid: true or false"),
    ],
)
def test_a_mistake_says_what_is_valid(raw: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert expected in str(caught.value)

"""The copy of the Fernet key that is encrypted with the passphrase of the backups."""

from __future__ import annotations

import key_copy
import pytest

KEYS = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=,b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w="
PASSPHRASE = "p'a\"ss\\phrase"


def test_a_copy_is_read_with_its_passphrase_alone() -> None:
    copy = key_copy.encrypt(KEYS, PASSPHRASE)
    assert key_copy.decrypt(copy, PASSPHRASE, "of another stack") == KEYS
    assert KEYS.encode() not in copy.encrypted
    with pytest.raises(key_copy.KeyCopyError, match="backupPassphrase does not decrypt"):
        key_copy.decrypt(copy, "another passphrase", "of another stack")


def test_another_passphrase_loses_nothing_if_the_stack_has_the_keys() -> None:
    copy = key_copy.encrypt(KEYS, PASSPHRASE)
    assert key_copy.decrypt(copy, "another passphrase", KEYS) == KEYS


def test_equal_keys_are_encrypted_differently_each_time() -> None:
    first, second = (key_copy.encrypt(KEYS, PASSPHRASE) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert (first.salt, first.encrypted) != (second.salt, second.encrypted)


@pytest.mark.parametrize(
    ("present", "copied", "expected"),
    [("a", "a", []), ("a,b", "b", []), ("a", "a,b", ["b"]), ("new", "a,b", ["a", "b"])],
)
def test_what_the_stack_does_not_have_is_read_as_well(
    present: str, copied: str, expected: list[str]
) -> None:
    assert key_copy.missing(present, copied) == expected

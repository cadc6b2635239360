"""The stack's secrets: their values and their names."""

from __future__ import annotations

import base64

from infra.stack.secrets import SECRET_NAMES, generate, hashed_name, require

DOCKER_NAME_LIMIT = 64


def test_generated_secrets_are_complete_and_never_the_same() -> None:
    first, second = generate(), generate()
    require(first)
    assert set(first) == set(SECRET_NAMES)
    assert not set(first.values()) & set(second.values())


def test_the_fernet_key_is_32_bytes() -> None:
    assert len(base64.urlsafe_b64decode(generate()["fernet_key"])) == 32


def test_names_fit_into_the_engine_s_limit() -> None:
    values = generate()
    assert all(
        len(hashed_name("a" * 20, name, value, "key")) <= DOCKER_NAME_LIMIT
        for name, value in values.items()
    )


def test_a_name_does_not_reveal_a_weak_password() -> None:
    names = [hashed_name("airflow", "admin_password", "admin", key) for key in ("ours", "theirs")]
    assert names[0] != names[1]

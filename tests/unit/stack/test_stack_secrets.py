"""The stack's secrets and the files that the laptop's compose mounts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from infra.stack.secrets import (
    SECRET_NAMES,
    generate,
    hashed_name,
    main,
    require,
    write_files,
)

if TYPE_CHECKING:
    from pathlib import Path

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


def test_files_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert write_files(folder) == list(SECRET_NAMES)
    before = {name: (folder / name).read_text() for name in SECRET_NAMES}
    (folder / "jwt_secret").unlink()
    assert write_files(folder) == ["jwt_secret"]
    after = {name: (folder / name).read_text() for name in SECRET_NAMES}
    assert {name for name in before if before[name] != after[name]} == {"jwt_secret"}


def test_files_are_readable_in_a_closed_folder(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert main([str(folder)]) == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all((folder / name).stat().st_mode & 0o777 == 0o444 for name in SECRET_NAMES)


def test_the_command_requires_a_folder() -> None:
    assert main([]) == 2

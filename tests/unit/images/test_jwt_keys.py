"""Which tokens the API server accepts during and after a rotation of `jwt_secret`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import jwt
import pytest
from airflow.api_fastapi.auth.tokens import JWTGenerator, JWTValidator
from airflow.configuration import conf

sys.path.append(str(Path(__file__).parents[3] / "images" / "airflow"))
jwt_keys: Any = import_module("jwt_keys")

TASKS: list[str] = conf.getlist("execution_api", "jwt_audience")
USERS = "apache-airflow"
OLD, PRESENT, NEXT, FOREIGN = (f"{name} key {'x' * 64}" for name in "opnf")


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JWTValidator, "avalidated_claims", JWTValidator.avalidated_claims)


def is_accepted(key: str, audience: str | list[str], *, valid_for: float = 60) -> bool:
    """Whether a server whose key is `PRESENT` accepts a token that is signed with another."""
    first = audience if isinstance(audience, str) else audience[0]
    token = JWTGenerator(secret_key=key, valid_for=valid_for, audience=first).generate(
        {"sub": "a task"}
    )
    validator = JWTValidator(secret_key=PRESENT, audience=audience, leeway=0)
    try:
        claims = asyncio.run(validator.avalidated_claims(token, {}))
    except jwt.InvalidTokenError:
        return False
    return claims["sub"] == "a task"


@pytest.mark.parametrize(
    ("file", "key", "audience", "accepted"),
    [
        ("jwt_secret_next", NEXT, TASKS, True),
        ("jwt_secret_next", NEXT, USERS, True),
        ("jwt_secret_retired", OLD, TASKS, True),
        ("jwt_secret_retired", OLD, USERS, False),
        ("jwt_secret_retired", FOREIGN, TASKS, False),
        ("jwt_secret_next", FOREIGN, USERS, False),
        ("of_another_service", OLD, TASKS, False),
    ],
)
def test_another_key_is_accepted_for_what_it_is_for(
    tmp_path: Path, file: str, key: str, audience: str | list[str], *, accepted: bool
) -> None:
    (tmp_path / file).write_text({NEXT: NEXT}.get(key, OLD))
    jwt_keys.install(tmp_path)
    assert is_accepted(key, audience) is accepted
    assert is_accepted(PRESENT, audience)


@pytest.mark.parametrize("audience", [TASKS, USERS])
def test_an_expired_token_of_another_key_is_refused(
    tmp_path: Path, audience: str | list[str]
) -> None:
    for name in ("jwt_secret_next", "jwt_secret_retired"):
        (tmp_path / name).write_text(OLD)
    jwt_keys.install(tmp_path)
    assert not is_accepted(OLD, audience, valid_for=-1)


def test_without_other_keys_nothing_is_changed(tmp_path: Path) -> None:
    before = JWTValidator.avalidated_claims
    jwt_keys.install(tmp_path)
    assert JWTValidator.avalidated_claims is before

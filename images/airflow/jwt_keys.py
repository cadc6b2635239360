"""Tokens of another key than today's, so that a rotation of `jwt_secret` fails no task.

Airflow checks a token with one key. A task that runs or waits when the key is rotated has a token
of the former one: an hour's if it runs, a year's if it waits. The API server reads two more keys,
if it has them:

- `jwt_secret_next`, during a rotation's first deployment: each token is accepted. In the second one
  this API server still answers while its successor signs with that key.
- `jwt_secret_retired`, from then on: a task's token is accepted, a user's is not. With it nobody
  can act as a user. The next rotation removes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import jwt
from airflow.api_fastapi.auth.tokens import JWTValidator
from airflow.configuration import conf

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRETS = Path("/run/secrets")
NEXT = "jwt_secret_next"
RETIRED = "jwt_secret_retired"


def install(secrets: Path = SECRETS) -> None:
    """Change which tokens Airflow accepts, if there is another key.

    Raises:
        AttributeError: if this Airflow has no such validator. Then the image's build fails.

    """
    validate = JWTValidator.avalidated_claims
    following, retired = (_read(secrets / name) for name in (NEXT, RETIRED))

    def other_keys(validator: JWTValidator) -> Iterator[str]:
        if following:
            yield following
        if retired and _is_for_tasks(validator):
            yield retired

    async def avalidated_claims(
        self: JWTValidator, unvalidated: str, required_claims: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            return await validate(self, unvalidated, required_claims)
        except jwt.InvalidSignatureError:
            for key in other_keys(self):
                try:
                    other = attrs.evolve(self, secret_key=key)
                    return await validate(other, unvalidated, required_claims)
                except jwt.InvalidSignatureError:
                    continue
            raise

    if following or retired:
        JWTValidator.avalidated_claims = avalidated_claims


def _read(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


def _is_for_tasks(validator: JWTValidator) -> bool:
    return list(validator.audience) == conf.getlist("execution_api", "jwt_audience")

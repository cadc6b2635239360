"""How the operator signs in to Amazon's registry (ECR). Knows no Pulumi."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.machines.aws.preflight import CONFIG
from infra.registry import RegistryError


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """What a push signs in with; ECR takes it for 12 hours, so it is asked for at each push."""

    user: str
    password: str = field(repr=False)


def sign_in(region: str, profile: str) -> SignIn:
    """Ask ECR for a token, by the credentials that any AWS tool would use.

    Raises:
        RegistryError: there are none, they are refused, or ECR does not answer.

    """
    try:
        session: Any = boto3.Session(profile_name=profile or None, region_name=region)
        answer = session.client("ecr", config=CONFIG).get_authorization_token()
    except (BotoCoreError, ClientError) as error:
        msg = (
            f"ECR gives no token to push images with: {error}\nNext: `aws sts"
            " get-caller-identity` is to work, and the credentials are to have the policy in"
            " docs/aws.md; then run the same again"
        )
        raise RegistryError(msg) from error
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    user, _, password = token.partition(":")
    return SignIn(user=user, password=password)

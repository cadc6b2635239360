"""Logs the operator in to Amazon's registry (ECR). Independent of Pulumi."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.images.registry import RegistryError
from infra.machines.aws.preflight import CONFIG


@dataclass(frozen=True, kw_only=True)
class EcrLogin:
    """Login for a push. ECR accepts it for 12 hours, so each push requests a new one."""

    user: str
    password: str = field(repr=False)


def login(region: str, profile: str) -> EcrLogin:
    """Request a token from ECR with the credentials that any AWS tool would use.

    Raises:
        RegistryError: if there are no credentials, or ECR rejects them or does not answer.

    """
    try:
        session: Any = boto3.Session(profile_name=profile or None, region_name=region)
        answer = session.client("ecr", config=CONFIG).get_authorization_token()
    except (BotoCoreError, ClientError) as error:
        msg = (
            f"ECR did not issue a token to push images with: {error}\n"
            "Next: check that `aws sts get-caller-identity` works and that the credentials have"
            " the policy in docs/aws.md, then rerun the command"
        )
        raise RegistryError(msg) from error
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    user, _, password = token.partition(":")
    return EcrLogin(user=user, password=password)

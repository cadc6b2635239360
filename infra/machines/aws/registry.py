"""Amazon's registry (ECR) for the ``aws`` target: repositories, and a role that pulls."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi_aws import ecr, iam

from infra.machines.aws.inventory import role_prefix
from infra.resources.images import EcrImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.machines.aws.network import Naming

KEPT_IMAGES = 30
"""Images kept in each repository. Each content of an image is one image; the newest runs."""
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "description": f"Keep the newest {KEPT_IMAGES}",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": KEPT_IMAGES,
            },
            "action": {"type": "expire"},
        }
    ]
}
PULL_ACTIONS = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)
"""From Amazon's "Using Amazon ECR Images with Amazon EC2"; the token has its own statement."""


@dataclass(frozen=True, kw_only=True)
class InstanceRole:
    """The IAM role of the instances."""

    profile: pulumi.Output[str]
    """The instance profile's name."""
    ready: Sequence[pulumi.Resource]


@dataclass(frozen=True, kw_only=True)
class EcrAccess:
    """Amazon's registry, as `infra.images.access.RegistryAccess`.

    ``docker.Image`` only builds: the state would contain its registry login otherwise.
    """

    region: str
    profile: str
    """The profile of the operator's credentials; empty for the default of AWS tools."""
    repositories: Mapping[str, pulumi.Output[str]]
    """``registry/repository`` by the image's name."""

    def pushed_as(self, name: str) -> pulumi.Output[str]:
        """See `RegistryAccess`."""
        return self.repositories[name]

    def pulled_as(self, name: str) -> pulumi.Output[str]:
        """See `RegistryAccess`."""
        return self.repositories[name]

    def plugin_push(self) -> dict[str, Any]:
        """See `RegistryAccess`."""
        return {"skip_push": True}

    def deployed(
        self, name: str, *, repository: str, tag: str, opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        """See `RegistryAccess`."""
        return EcrImage(
            name,
            repository=repository,
            tag=tag,
            pushed_as=self.pushed_as(repository),
            region=self.region,
            profile=self.profile,
            opts=opts,
        ).digest

    def owned(self) -> pulumi.Output[list[str]]:
        """See `RegistryAccess`: the account has other repositories, of other owners."""
        return pulumi.Output.all(*self.repositories.values()).apply(
            lambda repositories: [f"{repository}@" for repository in repositories]
        )

    def endpoint(self) -> None:
        """See `RegistryAccess`: each repository has a lifecycle policy."""


def repository_name(prefix: str, image: str) -> str:
    """Return a repository's name in the form that ECR accepts: lower case, single separators."""
    return f"{re.sub(r'[^a-z0-9]+', '-', prefix.lower()).strip('-')}/{image}"


def make_registry(
    images: Iterable[str],
    *,
    region: str,
    profile: str,
    naming: Naming,
    opts: pulumi.ResourceOptions,
) -> tuple[EcrAccess, InstanceRole]:
    """Create a repository for each of ``images``, and a role that may pull only from these.

    The images are deleted with the stack. ``profile`` is the operator's AWS profile, or empty.
    """
    repositories = {image: _repository(image, naming, opts) for image in images}
    role = make_role([one.arn for one in repositories.values()], naming, opts)
    registry = EcrAccess(
        region=region,
        profile=profile,
        repositories={image: one.repository_url for image, one in repositories.items()},
    )
    return registry, role


def _repository(image: str, naming: Naming, opts: pulumi.ResourceOptions) -> ecr.Repository:
    repository = ecr.Repository(
        f"{image}-repository",
        name=repository_name(naming.prefix, image),
        force_delete=True,
        tags=naming.tags(image),
        opts=opts,
    )
    ecr.LifecyclePolicy(
        f"{image}-lifecycle", repository=repository.name, policy=json.dumps(LIFECYCLE), opts=opts
    )
    return repository


def make_role(
    repositories: Sequence[pulumi.Output[str]], naming: Naming, opts: pulumi.ResourceOptions
) -> InstanceRole:
    """Create a role that may pull from ``repositories`` (ARNs); no permissions if empty."""
    name_prefix = role_prefix(naming.prefix)
    tags = naming.tags("nodes")
    role = iam.Role(
        "nodes-role",
        name_prefix=name_prefix,
        assume_role_policy=trust_policy(),
        tags=tags,
        opts=opts,
    )
    profile = iam.InstanceProfile(
        "nodes-profile", name_prefix=name_prefix, role=role.name, tags=tags, opts=opts
    )
    if not repositories:
        return InstanceRole(profile=profile.name, ready=(profile,))
    may_pull = iam.RolePolicy(
        "nodes-may-pull",
        name="pull-images",
        role=role.name,
        policy=pulumi.Output.all(*repositories).apply(pull_policy),
        opts=opts,
    )
    return InstanceRole(profile=profile.name, ready=(may_pull, profile))


def trust_policy() -> str:
    """Return the trust policy as JSON: EC2 instances may assume the role."""
    return _policy({"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})


def pull_policy(repositories: Iterable[str]) -> str:
    """Return the role's permissions as JSON: to pull from ``repositories``, given as ARNs."""
    return _policy(
        {"Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Action": list(PULL_ACTIONS), "Resource": sorted(repositories)},
    )


def _policy(*statements: dict[str, object]) -> str:
    allowed = [{"Effect": "Allow", **statement} for statement in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})

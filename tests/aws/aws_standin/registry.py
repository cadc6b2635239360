"""Amazon's registry, and the role that pulls from it: ECR's and IAM's types."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_standin.resources import Inputs, Kind, RefusedError, tag_list, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet


class _Kind(Kind):
    @property
    def ecr(self) -> Any:
        return self.clients("ecr")

    @property
    def iam(self) -> Any:
        return self.clients("iam")

    def retag(self, identity: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        message = f"an update of the tags of {identity} is not served"
        raise RefusedError(message)


class Repository(_Kind):
    TOKEN = "aws:ecr/repository:Repository"

    def create(self, inputs: Inputs) -> str:
        tags = tag_list(inputs["tags"])
        self.ecr.create_repository(repositoryName=inputs["name"], tags=tags)
        return inputs["name"]

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.ecr.describe_repositories, repositoryNames=[identity])
        if found is None:
            return None
        (repository,) = found["repositories"]
        tags = self.ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])
        return {
            "name": identity,
            "tags": {tag["Key"]: tag["Value"] for tag in tags["tags"]},
            "arn": repository["repositoryArn"],
            "repositoryUrl": repository["repositoryUri"],
            "registryId": repository["registryId"],
        }

    def delete(self, identity: str, state: Inputs) -> None:
        self.ecr.delete_repository(repositoryName=identity, force=state["forceDelete"])


class LifecyclePolicy(_Kind):
    TOKEN = "aws:ecr/lifecyclePolicy:LifecyclePolicy"

    def create(self, inputs: Inputs) -> str:
        self.ecr.put_lifecycle_policy(
            repositoryName=inputs["repository"], lifecyclePolicyText=inputs["policy"]
        )
        return inputs["repository"]

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.ecr.get_lifecycle_policy, repositoryName=identity)
        return None if found is None else {"repository": identity}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ecr.delete_lifecycle_policy(repositoryName=identity)


class Role(_Kind):
    TOKEN = "aws:iam/role:Role"

    def create(self, inputs: Inputs) -> str:
        name = inputs["namePrefix"] + secrets.token_hex(13)
        self.iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Tags=tag_list(inputs["tags"]),
        )
        return name

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.iam.get_role, RoleName=identity)
        if found is None:
            return None
        self.iam.list_role_policies(RoleName=identity)
        self.iam.list_attached_role_policies(RoleName=identity)
        return {"name": identity, "arn": found["Role"]["Arn"], "tags": tags_of(found["Role"])}

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        self.iam.update_assume_role_policy(
            RoleName=identity, PolicyDocument=new["assumeRolePolicy"]
        )

    def delete(self, identity: str, state: Inputs) -> None:
        self.iam.list_instance_profiles_for_role(RoleName=identity)
        self.iam.delete_role(RoleName=identity)


class RolePolicy(_Kind):
    TOKEN = "aws:iam/rolePolicy:RolePolicy"

    def create(self, inputs: Inputs) -> str:
        self.iam.put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )
        return f"{inputs['role']}:{inputs['name']}"

    def read(self, identity: str) -> Inputs | None:
        role, _, name = identity.partition(":")
        found = _unless_gone(self.iam.get_role_policy, RoleName=role, PolicyName=name)
        return None if found is None else {"role": role, "name": name}

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        self.create(new)

    def delete(self, identity: str, state: Inputs) -> None:
        role, _, name = identity.partition(":")
        self.iam.delete_role_policy(RoleName=role, PolicyName=name)


class InstanceProfile(_Kind):
    TOKEN = "aws:iam/instanceProfile:InstanceProfile"

    def create(self, inputs: Inputs) -> str:
        name = inputs["namePrefix"] + secrets.token_hex(13)
        self.iam.create_instance_profile(InstanceProfileName=name, Tags=tag_list(inputs["tags"]))
        self.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=inputs["role"])
        return name

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.iam.get_instance_profile, InstanceProfileName=identity)
        if found is None:
            return None
        profile = found["InstanceProfile"]
        for role in profile["Roles"]:
            self.iam.get_role(RoleName=role["RoleName"])
        return {"name": identity, "arn": profile["Arn"], "tags": tags_of(profile)}

    def delete(self, identity: str, state: Inputs) -> None:
        self.iam.remove_role_from_instance_profile(
            InstanceProfileName=identity, RoleName=state["role"]
        )
        self.iam.delete_instance_profile(InstanceProfileName=identity)


def _unless_gone(read: Any, **which: Any) -> Any:
    try:
        return read(**which)
    except ClientError as error:
        if error.response["Error"]["Code"].endswith(("NotFoundException", "NoSuchEntity")):
            return None
        raise

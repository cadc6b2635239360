"""Amazon's registry, and the role that pulls from it: ECR's and IAM's types."""

from __future__ import annotations

import secrets
from typing import Any

from botocore.exceptions import ClientError

from aws_standin.resources import Inputs, Kind, RefusedError, _tag_list


class _Fixed(Kind):
    """A thing that nothing in this project changes."""

    def update(self, identity: str, old: Inputs, new: Inputs) -> None:
        changed = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
        message = f"an update of {', '.join(changed)} is not served"
        raise RefusedError(message)

    @property
    def ecr(self) -> Any:
        return self.clients("ecr")

    @property
    def iam(self) -> Any:
        return self.clients("iam")


class Repository(_Fixed):
    TOKEN = "aws:ecr/repository:Repository"
    INPUTS = frozenset({"name", "forceDelete", "tags"})
    REPLACED_BY = frozenset({"name"})

    def create(self, inputs: Inputs) -> str:
        tags = _tag_list(inputs["tags"])
        self.ecr.create_repository(repositoryName=inputs["name"], tags=tags)
        return inputs["name"]

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.ecr.describe_repositories, repositoryNames=[identity])
        if found is None:
            return None
        (repository,) = found["repositories"]
        self.ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])
        return {
            "arn": repository["repositoryArn"],
            "repositoryUrl": repository["repositoryUri"],
            "registryId": repository["registryId"],
        }

    def delete(self, identity: str, state: Inputs) -> None:
        self.ecr.delete_repository(repositoryName=identity, force=state["forceDelete"])


class LifecyclePolicy(_Fixed):
    TOKEN = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
    INPUTS = frozenset({"repository", "policy"})
    REPLACED_BY = frozenset({"repository", "policy"})

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


class Role(_Fixed):
    TOKEN = "aws:iam/role:Role"
    INPUTS = frozenset({"namePrefix", "assumeRolePolicy", "tags"})
    REPLACED_BY = frozenset({"namePrefix"})

    def create(self, inputs: Inputs) -> str:
        name = inputs["namePrefix"] + secrets.token_hex(13)
        self.iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Tags=_tag_list(inputs["tags"]),
        )
        return name

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.iam.get_role, RoleName=identity)
        if found is None:
            return None
        self.iam.list_role_policies(RoleName=identity)
        self.iam.list_attached_role_policies(RoleName=identity)
        return {"name": identity, "arn": found["Role"]["Arn"]}

    def delete(self, identity: str, state: Inputs) -> None:
        self.iam.list_instance_profiles_for_role(RoleName=identity)
        self.iam.delete_role(RoleName=identity)


class RolePolicy(_Fixed):
    TOKEN = "aws:iam/rolePolicy:RolePolicy"
    INPUTS = frozenset({"name", "role", "policy"})
    REPLACED_BY = frozenset({"name", "role"})

    def create(self, inputs: Inputs) -> str:
        self.iam.put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )
        return f"{inputs['role']}:{inputs['name']}"

    def read(self, identity: str) -> Inputs | None:
        role, _, name = identity.partition(":")
        found = _unless_gone(self.iam.get_role_policy, RoleName=role, PolicyName=name)
        return None if found is None else {"role": role, "name": name}

    def delete(self, identity: str, state: Inputs) -> None:
        role, _, name = identity.partition(":")
        self.iam.delete_role_policy(RoleName=role, PolicyName=name)


class InstanceProfile(_Fixed):
    TOKEN = "aws:iam/instanceProfile:InstanceProfile"
    INPUTS = frozenset({"namePrefix", "role", "tags"})
    REPLACED_BY = frozenset({"namePrefix"})

    def create(self, inputs: Inputs) -> str:
        name = inputs["namePrefix"] + secrets.token_hex(13)
        self.iam.create_instance_profile(InstanceProfileName=name, Tags=_tag_list(inputs["tags"]))
        self.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=inputs["role"])
        return name

    def read(self, identity: str) -> Inputs | None:
        found = _unless_gone(self.iam.get_instance_profile, InstanceProfileName=identity)
        return found and {"name": identity, "arn": found["InstanceProfile"]["Arn"]}

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

"""What moto answers otherwise than AWS, put right, as far as this project sees it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.security_groups import SecurityGroupRule

FIRST = 0
"""The device index of the interface that an instance is launched with."""


def answer_as_aws() -> ExitStack:
    """Change moto until the returned stack is closed."""
    changes = ExitStack()
    changes.enter_context(patch.object(NetworkInterface, "association", _association()))
    changes.enter_context(patch.object(NetworkInterface, "group_set", property(_own_groups)))
    changes.enter_context(patch.object(Instance, "security_groups", _groups(), create=True))
    changes.enter_context(patch.object(Instance, "prep_nics", _prep_nics(Instance.prep_nics)))
    changes.enter_context(patch.object(SecurityGroupRule, "description", property(_description)))
    return changes


def _description(self: Any) -> str | None:
    """A rule has a description whatever its source is."""
    return self.ip_range.get("Description") or self.source_group.get("Description")


def _association() -> property:
    """An address that is not an Elastic IP is Amazon's; a stopped instance has none."""
    original: Any = NetworkInterface.association

    def association(self: Any) -> dict[str, Any] | None:
        found = original.fget(self)
        if found and "allocationId" not in found:
            found["ipOwnerId"] = "amazon"
        return found or None

    return property(association)


def _own_groups(self: Any) -> Any:
    return self._group_set


def _groups() -> property:
    """Return the groups of an instance: those of its first interface."""

    def get(self: Any) -> Any:
        interfaces = vars(self).get("nics", {})
        return interfaces[FIRST]._group_set if FIRST in interfaces else self._groups_at_launch

    def put(self: Any, groups: Any) -> None:
        self._groups_at_launch = groups
        interfaces = vars(self).get("nics", {})
        if FIRST in interfaces:
            interfaces[FIRST]._group_set = groups

    return property(get, put)


def _prep_nics(original: Any) -> Any:
    """An interface that an instance is launched with is deleted with it by default."""

    def prep_nics(self: Any, nic_spec: Any, *arguments: Any, **more: Any) -> None:
        for interface in nic_spec or []:
            if "NetworkInterfaceId" not in interface:
                interface.setdefault("DeleteOnTermination", True)
        original(self, nic_spec, *arguments, **more)

    return prep_nics

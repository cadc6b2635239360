"""What the checks of the settings need of a target: its model, its conflicts, its networks.

`infra.machines.target.Target` extends it with what a target does. The settings do not import the
targets; the program passes them its table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from infra.images import registry
from infra.settings import values
from infra.settings.fields import fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network

    from pydantic.fields import FieldInfo

    from infra.settings.model import Settings
    from infra.settings.problem import Problem

S = TypeVar("S", bound="Settings")


class TargetRules(Generic[S]):
    """Rules of one target for its settings. The defaults suit a target that creates machines.

    ``raw`` is a setting's key in ``Pulumi.yaml`` → the value that the user gave, not checked yet:
    a rule ignores a value that it cannot read, because the model reports it.
    """

    name: str = ""
    """The value of the setting ``target``."""
    settings: type[S]
    """The model of a stack's settings with this target."""
    unused: Mapping[str, str] = MappingProxyType({})
    """A key that all targets share, but this one does not use → the reason, as a sentence."""
    registries: tuple[str, ...] = (registry.EMBEDDED,)
    """Valid values of the setting ``registry``."""
    provider_keys: Mapping[str, str] = MappingProxyType({})
    """A setting → a key of the target's own Pulumi provider that applies if it is not set."""

    def conflicts(self, raw: Mapping[str, Any]) -> Iterable[Problem]:  # noqa: ARG002 - a default
        """Report conflicts between settings; the model checks each setting by itself."""
        return ()

    def networks(self, raw: Mapping[str, Any]) -> Iterable[tuple[str, IPv4Network]]:  # noqa: ARG002 - a default
        """Return the networks of the machines, each with who uses it, as a clause."""
        return ()

    def nodes(self, raw: Mapping[str, Any]) -> tuple[int, int]:
        """Return the numbers of managers and workers."""
        return self.number(raw, "managers"), self.number(raw, "workers")

    def number(self, raw: Mapping[str, Any], key: str) -> int:
        """Return the number of a setting; the default if the given value is not a number."""
        return values.number(raw.get(key), int(self.defaults[key]))

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Default by key, of all settings that a stack with this target can have."""
        return {key: field.default for key, field in self.fields.items()}

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """Field by key, as ``Pulumi.yaml`` spells it."""
        return fields(self.settings)

"""The interface of a target: where the cluster's machines come from.

`infra.machines.targets` is the table of all targets. A target is a package of `infra.machines`; it
is imported in every run, so it imports what only its own stacks need inside its methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from infra.settings.target_rules import S, TargetRules

if TYPE_CHECKING:
    import pulumi

    from infra.machines.fleet import Fleet
    from infra.stack.memory import Needs


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the machines are. A stack's region and account never change."""

    region: str = ""
    account: str = ""
    """The account of the provider; both are empty for a target without them."""
    notes: tuple[str, ...] = ()
    """Warnings for the user."""


P = TypeVar("P", bound=Site)


class Target(TargetRules[S], ABC, Generic[S, P]):
    """One target: the rules for its settings (`TargetRules`), and its machines."""

    has_packages: bool = False
    """Whether it needs the dependency group of its name (`infra.machines.target_packages`)."""

    @abstractmethod
    def preflight(self, stack: str, settings: S, needed: Needs) -> P:
        """Check before the first resource that the machines can run the cluster.

        ``stack`` is the name of the Pulumi stack, ``needed`` is the memory that the services
        reserve.

        Raises:
            UserError: lists every problem.

        """

    @abstractmethod
    def machines(
        self,
        settings: S,
        site: P,
        *,
        cluster_id: pulumi.Output[str],
        needed: Needs,
        place: pulumi.Resource,
    ) -> Fleet:
        """Create or find the machines, and the registry of the setting ``registry``.

        Args:
            settings: the stack's settings.
            site: the result of `preflight`.
            cluster_id: the cluster's random identity, with which machines are marked.
            needed: the memory that the services reserve.
            place: rejects a change of target, region or account; for resources that such a change
                would replace to depend on.

        """

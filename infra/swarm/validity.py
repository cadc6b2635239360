"""Sets the validity of the swarm's certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.swarm.certificate import VALIDITY_DAYS, VALIDITY_SECONDS
from infra.swarm.step import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.remote.machine import Machine
    from infra.swarm.execute import Execution
    from infra.swarm.facts import MachineFacts
    from infra.swarm.membership import Membership


@dataclass(frozen=True, kw_only=True)
class SetCertificateValidity(Step):
    """Make the swarm issue certificates that are valid for longer than the default of 90 days."""

    via: Machine
    days: int

    TODO = "set the validity of the swarm's certificates to {days} days"
    DONE = "the swarm's certificates are valid for {days} days from their renewal on"

    @property
    def subject(self) -> str:
        """The name of the manager that sets it."""
        return self.via.name

    def take(self, execution: Execution) -> None:
        """Set it; nodes get a new certificate at their next renewal."""
        execution.swarm(self.via, f"docker swarm update {expiry_option(self.days)} > /dev/null")


def expiry_option(days: int) -> str:
    """Return the option of ``docker swarm`` for the validity of new certificates."""
    return f"--cert-expiry {days * 24}h"


def validity(facts: Mapping[str, MachineFacts], membership: Membership) -> tuple[Step, ...]:
    """Set the validity of a swarm that has another one."""
    if membership.manager is None:
        return ()
    found = facts[membership.manager.name].certificate_seconds
    if found in (0, VALIDITY_SECONDS):
        return ()
    return (SetCertificateValidity(via=membership.manager, days=VALIDITY_DAYS),)

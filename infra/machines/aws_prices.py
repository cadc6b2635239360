"""An estimate of what the machines cost in a month. No I/O: the prices are a table.

US dollars in us-east-1 (N. Virginia), Linux, on demand, shared tenancy, as they were known in
November 2026: they were not read from AWS's pages when they were written down here. What AWS asks
today is at aws.amazon.com/ec2/pricing/on-demand, aws.amazon.com/ebs/pricing and
aws.amazon.com/vpc/pricing. Other regions cost up to a half more, spot instances usually 60 to 70 %
less; traffic is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings import Settings

HOURS_A_MONTH = 730
GP3_GIB_MONTH = 0.08
PUBLIC_ADDRESS_HOUR = 0.005

_LARGE_HOUR = {
    "t3": 0.0832,
    "t3a": 0.0752,
    "t4g": 0.0672,
    "m5": 0.096,
    "m5a": 0.086,
    "m6a": 0.0864,
    "m6g": 0.077,
    "m6i": 0.096,
    "m7a": 0.11592,
    "m7g": 0.0816,
    "m7i": 0.1008,
    "c5": 0.085,
    "c6a": 0.0765,
    "c6g": 0.068,
    "c6i": 0.085,
    "c7g": 0.0725,
    "c7i": 0.08925,
    "r5": 0.126,
    "r6g": 0.1008,
    "r6i": 0.126,
    "r7g": 0.1071,
    "r7i": 0.1323,
}
"""An hour of the size ``large``; within a family the price follows the size."""

_SIZES = {
    "small": 0.25,
    "medium": 0.5,
    "large": 1.0,
    "xlarge": 2.0,
    "2xlarge": 4.0,
    "4xlarge": 8.0,
    "8xlarge": 16.0,
}


def hourly(instance_type: str) -> float | None:
    """Return US dollars an hour; None where the table does not have it."""
    family, _, size = instance_type.partition(".")
    large, factor = _LARGE_HOUR.get(family), _SIZES.get(size)
    return None if large is None or factor is None else large * factor


def monthly_estimate(settings: Settings) -> str:
    """Say what the instances, their volumes and public addresses cost in a month."""
    manager, worker = settings.aws_manager_type, settings.aws_worker_type
    counts = {manager: 0, worker: 0}
    counts[manager] += settings.managers
    counts[worker] += settings.workers
    unknown = sorted(kind for kind in counts if hourly(kind) is None)
    volumes = (
        settings.managers * settings.aws_manager_volume
        + settings.workers * settings.aws_worker_volume
    )
    addresses = (settings.managers + settings.workers) * settings.aws_public_addresses
    total = (
        sum((hourly(kind) or 0.0) * number for kind, number in counts.items()) * HOURS_A_MONTH
        + volumes * GP3_GIB_MONTH
        + addresses * PUBLIC_ADDRESS_HOUR * HOURS_A_MONTH
    )
    parts = [f"{number} x {kind}" for kind, number in counts.items() if number]
    words = f"{', '.join(parts)}, {volumes} GiB of gp3, {addresses} public addresses"
    missing = f", without {' and '.join(unknown)}, which have no price here" if unknown else ""
    spot = "; spot workers cost less" if settings.aws_spot_workers else ""
    return f"about {total:.0f} USD ({words}{missing}; us-east-1 on demand, no traffic{spot})"

"""Estimates the monthly cost of the machines. No I/O: the prices are tables.

US dollars, Linux, on demand, shared tenancy. The hourly prices in us-east-1 are those of AWS's
price API on 2026-07-20, from the file ``zz_generated.pricing_aws.go`` of
aws/karpenter-provider-aws; each family's sizes ``medium`` to ``8xlarge`` were compared with their
share of ``large`` (the largest difference: 0.15 %, from rounding). The hourly prices elsewhere are
from SkyPilot's catalog (``catalogs/v9/aws/vms.csv`` of skypilot-org/skypilot-catalog, read in
November 2026, commit 3e9a1751), whose us-east-1 agrees. The prices of gp3 and addresses are from
quotes of AWS's price descriptions in 2025 and 2026. AWS's current prices are at
aws.amazon.com/ec2/pricing/on-demand, aws.amazon.com/ebs/pricing and aws.amazon.com/vpc/pricing.

Not in the estimate: traffic; the credits that t3 and t4g buy above their baseline; what spot
instances save (t3: about a half, in that catalog).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.machines.aws.settings import AwsSettings

HOURS_A_MONTH = 730
PUBLIC_ADDRESS_HOUR = 0.005
"""The same in every region, since February 2024."""

BASE_REGION = "us-east-1"

_GP3_GIB_MONTH = {
    "us-east-1": 0.08,
    "us-east-2": 0.08,
    "eu-west-1": 0.088,
    "eu-central-1": 0.0952,
    "eu-north-1": 0.0836,
    "ap-northeast-1": 0.096,
    "ap-northeast-2": 0.0912,
    "ap-southeast-2": 0.096,
    "af-south-1": 0.1047,
}

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
    "m7i-flex": 0.09576,
    "m8g": 0.08976,
    "m8i": 0.10584,
    "c5": 0.085,
    "c5a": 0.077,
    "c6a": 0.0765,
    "c6g": 0.068,
    "c6i": 0.085,
    "c7a": 0.10264,
    "c7g": 0.0725,
    "c7i": 0.08925,
    "c7i-flex": 0.08479,
    "c8g": 0.07976,
    "c8i": 0.09371,
    "r5": 0.126,
    "r5a": 0.113,
    "r6a": 0.1134,
    "r6g": 0.1008,
    "r6i": 0.126,
    "r7a": 0.15215,
    "r7g": 0.1071,
    "r7i": 0.1323,
    "r8g": 0.11782,
    "r8i": 0.13892,
}
"""Hourly price of the size ``large`` in us-east-1; within a family the price is proportional to
size."""

_LARGE_HOUR_ELSEWHERE = {
    "us-east-2": {"t3": 0.0832, "t4g": 0.0672},
    "us-west-1": {"t3": 0.0992, "t4g": 0.08},
    "us-west-2": {"t3": 0.0832, "t4g": 0.0672},
    "ca-central-1": {"t3": 0.0928, "t4g": 0.0736},
    "eu-central-1": {"t3": 0.096, "t4g": 0.0768},
    "eu-north-1": {"t3": 0.0864, "t4g": 0.0688},
    "eu-south-1": {"t3": 0.0958, "t4g": 0.0768},
    "eu-south-2": {"t3": 0.0912, "t4g": 0.0736},
    "eu-west-1": {"t3": 0.0912, "t4g": 0.0736},
    "eu-west-2": {"t3": 0.0944, "t4g": 0.0752},
    "eu-west-3": {"t3": 0.0944, "t4g": 0.0752},
    "af-south-1": {"t3": 0.1085, "t4g": 0.0867},
    "ap-east-1": {"t3": 0.1168, "t4g": 0.0928},
    "ap-northeast-1": {"t3": 0.1088, "t4g": 0.0864},
    "ap-northeast-2": {"t3": 0.104, "t4g": 0.0832},
    "ap-northeast-3": {"t3": 0.1088, "t4g": 0.087},
    "ap-south-1": {"t3": 0.0896, "t4g": 0.0448},
    "ap-southeast-1": {"t3": 0.1056, "t4g": 0.0848},
    "ap-southeast-2": {"t3": 0.1056, "t4g": 0.0848},
    "ap-southeast-3": {"t3": 0.1056, "t4g": 0.0848},
    "ap-southeast-4": {"t3": 0.1056, "t4g": 0.0848},
    "me-central-1": {"t3": 0.1003, "t4g": 0.0816},
    "me-south-1": {"t3": 0.1003, "t4g": 0.0803},
}
"""The same in other regions, for the families of the default types and their ARM equivalents."""

_SIZES = {
    "small": 0.25,
    "medium": 0.5,
    "large": 1.0,
    "xlarge": 2.0,
    "2xlarge": 4.0,
    "4xlarge": 8.0,
    "8xlarge": 16.0,
}


def hourly(instance_type: str, region: str = BASE_REGION) -> float | None:
    """Return US dollars an hour; None if the tables do not have the type in that region."""
    family, _, size = instance_type.partition(".")
    families = _LARGE_HOUR if region == BASE_REGION else _LARGE_HOUR_ELSEWHERE.get(region, {})
    large, factor = families.get(family), _SIZES.get(size)
    return None if large is None or factor is None else large * factor


def monthly_estimate(settings: AwsSettings) -> str:
    """Return the monthly cost of the instances, their volumes and public addresses as text.

    An item without a price for the stack's region is counted at that of us-east-1, and an item
    without any price is left out. The text names both.
    """
    region = settings.aws_region
    counts = {settings.aws_manager_type: 0, settings.aws_worker_type: 0}
    counts[settings.aws_manager_type] += settings.managers
    counts[settings.aws_worker_type] += settings.workers
    volumes = (
        settings.managers * settings.aws_manager_volume
        + settings.workers * settings.aws_worker_volume
    )
    addresses = (settings.managers + settings.workers) * settings.aws_public_addresses
    here = {kind: hourly(kind, region) for kind in counts}
    gp3 = _GP3_GIB_MONTH.get(region)
    prices = {kind: price or hourly(kind) for kind, price in here.items()}
    total = (
        sum((prices[kind] or 0.0) * number for kind, number in counts.items()) * HOURS_A_MONTH
        + volumes * (gp3 or _GP3_GIB_MONTH[BASE_REGION])
        + addresses * PUBLIC_ADDRESS_HOUR * HOURS_A_MONTH
    )
    unknown = sorted(kind for kind, price in prices.items() if price is None)
    borrowed = [kind for kind in sorted(prices) if prices[kind] and not here[kind]]
    borrowed += ["gp3"] if gp3 is None else []
    parts = [f"{number} x {kind}" for kind, number in counts.items() if number]
    words = f"{', '.join(parts)}, {volumes} GiB of gp3, {addresses} public addresses"
    missing = f", without {' and '.join(unknown)}, which have no price here" if unknown else ""
    elsewhere = f", {' and '.join(borrowed)} at {BASE_REGION}'s price" if borrowed else ""
    spot = "; spot workers cost less" if settings.aws_spot_workers else ""
    return (
        f"about {total:.0f} USD ({words}{missing}; {region} on demand{elsewhere}, no traffic{spot})"
    )

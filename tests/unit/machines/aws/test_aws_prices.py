"""The estimate of a month's cost."""

import pytest

from infra.machines.aws.prices import hourly, monthly_estimate
from infra.settings.model import Settings
from tests.unit.parsed import parse


def settings(**more: object) -> Settings:
    """Settings of ``target: aws`` in us-east-1, changed by ``more``."""
    required = {"target": "aws", "awsRegion": "us-east-1", "allowedCidrs": ["198.51.100.7/32"]}
    return parse({**required, **more})


@pytest.mark.parametrize(
    ("kind", "price"),
    [("t3.large", 0.0832), ("t3.medium", 0.0416), ("m7g.2xlarge", 0.3264), ("x1.large", None)],
)
def test_a_size_costs_its_share_of_the_familys_price(kind: str, price: float | None) -> None:
    assert hourly(kind) == pytest.approx(price)


def test_the_default_cluster() -> None:
    """0.0832 + 2 x 0.0416 dollars an hour, 100 GiB at 0.08, three addresses at 0.005 an hour."""
    assert monthly_estimate(settings()) == (
        "about 140 USD (1 x t3.large, 2 x t3.medium, 100 GiB of gp3, 3 public addresses;"
        " us-east-1 on demand, no traffic)"
    )


def test_a_region_has_prices_of_its_own() -> None:
    """0.096 + 2 x 0.048 dollars an hour, 100 GiB at 0.0952, three addresses at 0.005 an hour."""
    assert monthly_estimate(settings(awsRegion="eu-central-1")) == (
        "about 161 USD (1 x t3.large, 2 x t3.medium, 100 GiB of gp3, 3 public addresses;"
        " eu-central-1 on demand, no traffic)"
    )


def test_a_missing_price_is_taken_from_another_region_and_reported() -> None:
    """0.096 in the region, 2 x 0.1008 of us-east-1."""
    text = monthly_estimate(settings(awsRegion="eu-central-1", awsWorkerType="m7i.large"))
    assert text.startswith("about 238 USD (")
    assert "; eu-central-1 on demand, m7i.large at us-east-1's price, no traffic)" in text


def test_a_region_without_any_price_is_reported() -> None:
    text = monthly_estimate(settings(awsRegion="sa-east-1"))
    assert text.startswith("about 140 USD (")
    borrowed = "t3.large and t3.medium and gp3 at us-east-1's price"
    assert f"; sa-east-1 on demand, {borrowed}, no traffic)" in text


def test_one_type_for_all_is_counted_once() -> None:
    assert "(3 x t3.large," in monthly_estimate(settings(awsWorkerType="t3.large"))


def test_a_missing_price_is_reported() -> None:
    text = monthly_estimate(settings(awsWorkerType="g5.xlarge"))
    assert "2 x g5.xlarge" in text
    assert "without g5.xlarge, which have no price here" in text


def test_spot_and_private_addresses_cost_less() -> None:
    private = settings(awsPublicAddresses="false", awsSubnetIds=["subnet-0a"])
    assert monthly_estimate(private).startswith("about 129 USD")
    assert monthly_estimate(settings(awsSpotWorkers="true")).endswith("; spot workers cost less)")

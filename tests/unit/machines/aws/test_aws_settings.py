"""The settings of target aws."""

from typing import Any

import pytest

from infra.settings.parse import SettingsError
from tests.unit.parsed import parse

REQUIRED: dict[str, Any] = {
    "target": "aws",
    "awsRegion": "eu-central-1",
    "allowedCidrs": ["198.51.100.7/32"],
}


def test_a_region_and_who_gets_in_are_enough() -> None:
    settings = parse(REQUIRED)
    assert (settings.aws_manager_type, settings.aws_worker_type) == ("t3.large", "t3.medium")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"awsRegion": None}, "awsRegion: must be set. Use the AWS region of the machines"),
        ({"awsRegion": "frankfurt"}, "awsRegion: 'frankfurt' is not valid. Use an AWS region such"),
        (
            {"allowedCidrs": []},
            "allowedCidrs: must be set. Use the IPv4 networks that may reach SSH",
        ),
        (
            {"allowedCidrs": ["198.51.100.7/32", "0.0.0.0/0"]},
            "allowedCidrs[1]: '0.0.0.0/0' is not valid. Use a smaller network",
        ),
        (
            {"allowedCidrs": ["128.0.0.0/1"]},
            "allowedCidrs[0]: '128.0.0.0/1' is not valid. Use a s",
        ),
        (
            {"awsManagerType": "large"},
            "awsManagerType: 'large' is not valid. Use an EC2",
        ),
        ({"awsManagerVolume": "5"}, "awsManagerVolume: '5' is not valid. Use 20 or more"),
        ({"awsVpcCidr": "10.0.0.0/8"}, "awsVpcCidr: '10.0.0.0/8' is not valid. Use a private IPv4"),
        ({"awsVpcCidr": "8.8.0.0/16"}, "awsVpcCidr: '8.8.0.0/16' is not valid. Use a private IPv4"),
        ({"awsSubnetIds": ["net-1"]}, "awsSubnetIds[0]: 'net-1' is not valid. Use a subnet's ID"),
        (
            {"awsSubnetIds": ["subnet-0a"], "awsVpcCidr": "10.9.0.0/16"},
            "awsVpcCidr: must not be set. With awsSubnetIds, the VPC is that of",
        ),
        (
            {"awsPublicAddresses": "false"},
            "awsPublicAddresses: 'false' is not valid. Use true: without awsSubnetIds",
        ),
        ({"target": "local"}, "awsRegion: must not be set. It belongs to tar"),
        ({"registry": "hub"}, "registry: 'hub' is not valid. Use 'embedded' or 'ecr'"),
    ],
)
def test_a_mistake_is_reported_with_key_value_and_what_is_valid(
    changes: dict[str, Any], expected: str
) -> None:
    raw = {key: value for key, value in {**REQUIRED, **changes}.items() if value is not None}
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert expected in str(caught.value)


def test_amazons_registry_goes_with_amazons_machines() -> None:
    assert parse({**REQUIRED, "registry": "ecr"}).registry == "ecr"


def test_the_internet_is_admitted_if_two_settings_allow_it() -> None:
    raw = {**REQUIRED, "allowedCidrs": ["0.0.0.0/0"], "awsOpenToInternet": "true"}
    assert parse(raw).allowed_cidrs == ("0.0.0.0/0",)

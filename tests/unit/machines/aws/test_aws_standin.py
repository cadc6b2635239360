"""The stand-in for Pulumi's aws plugin, and the rules of its cloud."""

import pytest

from infra.machines import target_packages

target_packages.use("aws")
from aws_cloud.groups import Fence, ruleset  # noqa: E402
from aws_standin import schema, upstream  # noqa: E402
from aws_standin.instance import Instance  # noqa: E402
from aws_standin.resources import Vpc  # noqa: E402

TCP_22 = {"IsEgress": False, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}


@pytest.mark.parametrize(
    ("given", "name", "reason"),
    [
        ({"cidrBlok": "10.0.0.0/16"}, "cidrBlok", "the package pulumi_aws has no such property"),
        ({"ipv4IpamPoolId": "x"}, "ipv4IpamPoolId", "is not served by this stand-in"),
        ({"enableDnsSupport": "yes"}, "enableDnsSupport", "'yes' is not of type bool"),
        ({"tags": ["a"]}, "tags", "is not of type Mapping"),
    ],
)
def test_a_wrong_input_is_refused_by_name(given: dict, name: str, reason: str) -> None:
    assert reason in schema.problems(Vpc.TOKEN, given, upstream.served(Vpc.TOKEN))[name]


def test_a_wrong_input_within_another_is_refused_by_its_path() -> None:
    given = {"rootBlockDevice": {"volumeSise": 3, "volumeSize": "3"}}
    found = schema.problems(Instance.TOKEN, given, upstream.served(Instance.TOKEN))
    assert found["rootBlockDevice.volumeSise"] == "the package pulumi_aws has no such property"
    assert found["rootBlockDevice.volumeSize"] == "'3' is not of type int"


def fence(*rules: dict, has_internet: bool = True) -> str:
    members = {"sg-1": ["10.0.0.4", "10.0.0.5"]}
    return ruleset(
        Fence(vpc_cidr="10.0.0.0/16", has_internet=has_internet, rules=rules, members=members)
    )


def test_without_rules_nothing_passes() -> None:
    assert fence().count("policy drop") == 2
    assert "dport" not in fence()


def test_a_rule_opens_its_port_to_its_source() -> None:
    assert "ip saddr { 192.0.2.0/24 } ip protocol tcp tcp dport 22-22 accept" in fence(
        {**TCP_22, "CidrIpv4": "192.0.2.0/24"}
    )


def test_a_reference_means_the_groups_members() -> None:
    rules = fence({**TCP_22, "ReferencedGroupInfo": {"GroupId": "sg-1"}})
    assert "ip saddr { 10.0.0.4, 10.0.0.5 } ip protocol tcp" in rules


def test_without_a_route_there_is_no_internet() -> None:
    assert "ip daddr != 10.0.0.0/16 drop" in fence(has_internet=False)
    assert "!= 10.0.0.0/16" not in fence()

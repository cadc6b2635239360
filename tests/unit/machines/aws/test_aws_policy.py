"""The documented policy allows what is called, and nothing that is never called."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.machines import target_packages
from tests.unit.parsed import parse

target_packages.use("aws")
from aws_cloud.policy import refused, unneeded  # noqa: E402
from aws_cloud.server import Server  # noqa: E402
from aws_standin.kinds import KINDS  # noqa: E402
from aws_standin.resources import get_ami  # noqa: E402

from infra.machines.aws.ecr import login  # noqa: E402
from infra.machines.aws.preflight import Request, check  # noqa: E402
from infra.machines.aws.registry import LIFECYCLE, pull_policy, trust_policy  # noqa: E402

REGION = "eu-central-1"
TAGS = {"Name": "test"}
REPOSITORY = "arn:aws:ecr:eu-central-1:123456789012:repository/dairflow-test/airflow"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # The server publishes the images that are used; moto makes 1,300 more for each region.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    server = Server(REGION)
    for key, value in server.environment().items():
        monkeypatch.setenv(key, value)
    yield server
    server.close()


def make_everything(server: Server, *, changed_in_between: bool = False) -> None:
    """Make one of each type, as the program does, and take them away again."""
    clients = functools.cache(lambda service: server.client(service, "AKIAOPERATOR"))
    made: list[tuple[str, str, dict]] = []

    def make(kind: str, **inputs: object) -> str:
        (token,) = (token for token in KINDS if token.endswith(f":{kind}"))
        identity = KINDS[token](clients).create(inputs)
        assert KINDS[token](clients).read(identity) is not None
        made.append((token, identity, inputs))
        return identity

    filters = [{"name": "name", "values": ["debian-13-amd64-*"]}]
    image = get_ami(
        clients("ec2"), {"owners": ["136693071363"], "mostRecent": True, "filters": filters}
    )
    vpc = make(
        "Vpc", cidrBlock="10.80.0.0/16", enableDnsSupport=True, enableDnsHostnames=True, tags=TAGS
    )
    gateway = make("InternetGateway", vpcId=vpc, tags=TAGS)
    table = make("RouteTable", vpcId=vpc, tags=TAGS)
    make("Route", routeTableId=table, destinationCidrBlock="0.0.0.0/0", gatewayId=gateway)
    subnet = make(
        "Subnet", vpcId=vpc, availabilityZone=f"{REGION}a", cidrBlock="10.80.0.0/20", tags=TAGS
    )
    make("RouteTableAssociation", subnetId=subnet, routeTableId=table)
    group = make("SecurityGroup", name="test", description="test", vpcId=vpc, tags=TAGS)
    rule = {"securityGroupId": group, "cidrIpv4": "0.0.0.0/0", "tags": TAGS}
    make("SecurityGroupIngressRule", ipProtocol="tcp", fromPort=22, toPort=22, **rule)
    make("SecurityGroupEgressRule", ipProtocol="-1", **rule)
    repository = make("Repository", name="dairflow-test/airflow", forceDelete=True, tags=TAGS)
    make("LifecyclePolicy", repository=repository, policy=json.dumps(LIFECYCLE))
    role = make("Role", namePrefix="dairflow-test-", assumeRolePolicy=trust_policy(), tags=TAGS)
    make("RolePolicy", name="pull-images", role=role, policy=pull_policy([REPOSITORY]))
    profile = make("InstanceProfile", namePrefix="dairflow-test-", role=role, tags=TAGS)
    login(REGION, "")
    instance = {
        "iamInstanceProfile": profile,
        "ami": image["id"],
        "instanceType": "t3.medium",
        "subnetId": subnet,
        "vpcSecurityGroupIds": [group],
        "associatePublicIpAddress": True,
        "userData": "#cloud-config\n",
        "rootBlockDevice": {
            "volumeType": "gp3",
            "volumeSize": 30,
            "encrypted": True,
            "deleteOnTermination": True,
            "tags": TAGS,
        },
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        "tags": TAGS,
    }
    make("Instance", **instance)
    once = {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"}
    make("Instance", instanceMarketOptions={"marketType": "spot", "spotOptions": once}, **instance)
    if changed_in_between:
        change_everything(clients, made)
    for token, identity, inputs in reversed(made):
        KINDS[token](clients).delete(identity, inputs)
        assert KINDS[token](clients).read(identity) is None


CHANGES: dict[str, set[str]] = {
    "Route": {"gatewayId"},
    "RouteTableAssociation": {"routeTableId"},
    "SecurityGroupIngressRule": {"cidrIpv4"},
    "Role": {"assumeRolePolicy"},
    "RolePolicy": {"policy"},
    "Instance": {
        *("disableApiTermination", "instanceType", "metadataOptions", "rootBlockDevice"),
        *("iamInstanceProfile", "vpcSecurityGroupIds"),
    },
}
"""Type → inputs that change in place."""


def change_everything(clients: Any, made: list[tuple[str, str, dict]]) -> None:
    """Set every input that changes in place; a larger disk is a change of its own."""
    for token, identity, inputs in made:
        changed = CHANGES.get(token.rpartition(":")[2])
        if changed:
            root = inputs.get("rootBlockDevice", {})
            larger = {"rootBlockDevice": {**root, "volumeSize": 31, "deleteOnTermination": False}}
            new = {**inputs, **(larger if root else {})}
            KINDS[token](clients).modify(identity, changed, new)


def test_the_policy_allows_what_a_change_calls(server: Server) -> None:
    make_everything(server, changed_in_between=True)
    assert refused(server.calls) == []
    assert server.calls >= {
        *("ec2:ModifyInstanceAttribute", "ec2:ModifyInstanceMetadataOptions"),
        *("ec2:ModifyNetworkInterfaceAttribute", "ec2:ModifySecurityGroupRules"),
        *("ec2:ModifyVolume", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:ReplaceRoute"),
        *("ec2:ReplaceRouteTableAssociation", "ec2:StartInstances", "ec2:StopInstances"),
        *("iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy"),
    }


def test_the_policy_is_what_is_called(server: Server) -> None:
    given = {"target": "aws", "awsRegion": REGION, "allowedCidrs": ["198.51.100.7/32"]}
    check(Request(stack="test", settings=parse(given), build_machine="x86_64"))
    make_everything(server)
    assert "ec2:CancelSpotInstanceRequests" in server.calls
    assert refused(server.calls) == []
    assert unneeded(server.calls) == []
    assert refused({"ec2:CreateKeyPair"}) == ["ec2:CreateKeyPair"]

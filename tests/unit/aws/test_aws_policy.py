"""The documented policy allows what is called, and nothing that is called by nobody."""

from collections.abc import Iterator

import pytest

from infra.machines import target_packages
from infra.settings import parse

target_packages.use("aws")
from aws_cloud.policy import refused, unneeded  # noqa: E402
from aws_cloud.server import Server  # noqa: E402
from aws_standin.resources import KINDS, get_ami  # noqa: E402

from infra.machines.aws_preflight import Wanted, look  # noqa: E402

REGION = "eu-central-1"
TAGS = {"Name": "test"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(REGION)
    for key, value in server.environment().items():
        monkeypatch.setenv(key, value)
    yield server
    server.close()


def make_everything(server: Server) -> None:
    """Make one of each type, as the program does, and take them away again."""
    ec2 = server.client("ec2", "AKIAOPERATOR")
    made: list[tuple[str, str, dict]] = []

    def make(kind: str, **inputs: object) -> str:
        (token,) = (token for token in KINDS if token.endswith(f":{kind}"))
        identity = KINDS[token](ec2).create(inputs)
        assert KINDS[token](ec2).read(identity) is not None
        made.append((token, identity, inputs))
        return identity

    filters = [{"name": "name", "values": ["debian-13-amd64-*"]}]
    image = get_ami(ec2, {"owners": ["136693071363"], "mostRecent": True, "filters": filters})
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
    make(
        "Instance",
        ami=image["id"],
        instanceType="t3.medium",
        subnetId=subnet,
        vpcSecurityGroupIds=[group],
        associatePublicIpAddress=True,
        userData="#cloud-config\n",
        rootBlockDevice={
            "volumeType": "gp3",
            "volumeSize": 30,
            "encrypted": True,
            "deleteOnTermination": True,
            "tags": TAGS,
        },
        metadataOptions={
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        tags=TAGS,
    )
    for token, identity, inputs in reversed(made):
        KINDS[token](ec2).delete(identity, inputs)
        assert KINDS[token](ec2).read(identity) is None


def test_the_policy_is_what_is_called(server: Server) -> None:
    given = {"target": "aws", "awsRegion": REGION, "allowedCidrs": ["198.51.100.7/32"]}
    look(Wanted(stack="test", settings=parse(given), build_machine="x86_64"))
    make_everything(server)
    assert refused(server.calls) == []
    assert unneeded(server.calls) == []
    assert refused({"ec2:CreateKeyPair"}) == ["ec2:CreateKeyPair"]

"""What is asked of an account before the first resource, of moto's account."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.servicequotas.models import ServiceQuotasBackend

from infra.machines import target_packages
from infra.settings import parse

target_packages.use("aws")
from infra.machines.aws_preflight import AwsError, Site, Wanted, look  # noqa: E402

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with 32 vCPUs of either kind and five VPCs, of which one is there already."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    vpc_quota = ServiceQuotasBackend.get_service_quota

    def quota(self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        if service_code == "ec2":
            return {"ServiceCode": "ec2", "QuotaCode": quota_code, "Value": 32.0}
        return vpc_quota(self, service_code, quota_code)

    monkeypatch.setattr(ServiceQuotasBackend, "get_service_quota", quota)
    with mock_aws():
        yield


def ask(build_machine: str = "x86_64", **settings: object) -> Site:
    given = {"target": "aws", "awsRegion": REGION, "allowedCidrs": ["198.51.100.7/32"], **settings}
    return look(Wanted(stack="test", settings=parse(given), build_machine=build_machine))


def objection(**settings: object) -> str:
    with pytest.raises(AwsError) as caught:
        ask(**settings)
    text = str(caught.value)
    assert text.startswith("AWS cannot carry this cluster:\n")
    assert text.endswith("Nothing was created or changed.")
    return text


def ec2() -> Any:
    return boto3.client("ec2", REGION)


def run_instance(kind: str, *, stack: str = "other", spot: bool = False) -> None:
    market = {"InstanceMarketOptions": {"MarketType": "spot"}} if spot else {}
    ec2().run_instances(
        ImageId="ami-12c6146b",
        InstanceType=kind,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "dairflow:stack", "Value": stack}]}
        ],
        **market,
    )


def subnet(zone: str, cidr: str = "10.90.0.0/24", vpc: str = "") -> tuple[str, str]:
    vpc = vpc or ec2().create_vpc(CidrBlock="10.90.0.0/16")["Vpc"]["VpcId"]
    made = ec2().create_subnet(VpcId=vpc, AvailabilityZone=f"{REGION}{zone}", CidrBlock=cidr)
    return made["Subnet"]["SubnetId"], vpc


def test_an_account_with_room_says_where() -> None:
    assert ask() == Site(
        region=REGION, zones=tuple(f"{REGION}{zone}" for zone in "abc"), architecture="x86_64"
    )


def test_arm_types_want_an_arm_machine_to_build_on() -> None:
    arm = {"awsManagerType": "t4g.large", "awsWorkerType": "t4g.medium"}
    assert ask(build_machine="aarch64", **arm).architecture == "arm64"
    text = objection(**arm)
    assert "awsManagerType: 't4g.large' given; it is arm64" in text
    assert "awsWorkerType: 't4g.medium' given; it is arm64" in text


def test_a_type_that_the_region_lacks_is_named() -> None:
    text = objection(awsWorkerType="t3.huge")
    assert "awsWorkerType: 't3.huge' given; eu-central-1 has no such instance type" in text
    assert "awsManagerType" not in text


def test_other_machines_count_against_the_quota_and_our_own_do_not() -> None:
    run_instance("m5.8xlarge", stack="test")
    ask()
    run_instance("m5.8xlarge")
    text = objection()
    assert "vCPUs of on-demand instances: the quota in eu-central-1 is 32, 32 are in use" in text
    assert "this cluster takes 6" in text
    assert "--quota-code L-1216C47A --desired-value 38" in text


def test_spot_workers_have_a_quota_of_their_own() -> None:
    run_instance("m5.4xlarge")
    ask(awsSpotWorkers="true")
    run_instance("m5.8xlarge", spot=True)
    text = objection(awsSpotWorkers="true")
    assert "vCPUs of spot instances: the quota in eu-central-1 is 32, 32 are in use" in text


def test_a_vpc_more_than_the_account_may_have() -> None:
    for _ in range(4):
        vpc = ec2().create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    assert "VPCs: the quota in eu-central-1 is 5, 5 are in use by others" in objection()
    ec2().create_tags(Resources=[vpc], Tags=[{"Key": "dairflow:stack", "Value": "test"}])
    ask()


def test_every_objection_is_told_at_once() -> None:
    run_instance("m5.8xlarge")
    for _ in range(4):
        ec2().create_vpc(CidrBlock="10.1.0.0/16")
    text = objection()
    assert "vCPUs" in text
    assert "VPCs" in text


def test_a_quota_that_may_not_be_read_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (note,) = ask().notes
    assert note.startswith("The quota of vCPUs of on-demand instances could not be read")


def test_given_subnets_are_where_the_machines_go() -> None:
    first, vpc = subnet("b")
    second, _ = subnet("a", "10.90.1.0/24", vpc)
    site = ask(awsSubnetIds=[first, second])
    assert site.vpc_id == vpc
    assert site.zones == (f"{REGION}a", f"{REGION}b")
    assert site.subnets == {f"{REGION}a": second, f"{REGION}b": first}


def test_subnets_that_do_not_fit_are_named() -> None:
    first, vpc = subnet("a")
    again, _ = subnet("a", "10.90.1.0/24", vpc)
    elsewhere, _ = subnet("b")
    text = objection(awsSubnetIds=[first, again, elsewhere, "subnet-0"])
    assert f"{again!r} given; {first!r} is in {REGION}a as well: one subnet a zone" in text
    assert "'subnet-0' given; eu-central-1 has no such subnet" in text
    assert "they are in 2 VPCs" in text


def test_without_credentials_it_says_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    text = objection()
    assert "AWS does not take the credentials" in text
    assert "aws sso login" in text


def test_a_region_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    text = objection(awsRegion="eu-central-9")
    assert "AWS did not answer in eu-central-9" in text
    assert "Is the region's name right?" in text

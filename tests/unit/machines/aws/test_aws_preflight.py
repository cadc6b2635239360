"""The preflight checks of an account, against moto's account."""

import functools
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from moto import mock_aws
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.servicequotas.models import ServiceQuotasBackend

from infra.machines import target_packages
from infra.stack.memory import Needs, Part
from tests.unit.parsed import parse

target_packages.use("aws")
from infra.machines.aws.preflight import (  # noqa: E402
    AwsError,
    Request,
    Site,
    _standard,
    check,
)

REGION = "eu-central-1"
create_loader_once = functools.cache(create_loader)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with 32 vCPUs of either kind and five VPCs, of which one is there already."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    # No test reads an image, and moto makes 1,300 of them for each region of each account.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    vpc_quota = ServiceQuotasBackend.get_service_quota

    def quota(self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
        if service_code == "ec2":
            return {"ServiceCode": "ec2", "QuotaCode": quota_code, "Value": 32.0}
        return vpc_quota(self, service_code, quota_code)

    monkeypatch.setattr(ServiceQuotasBackend, "get_service_quota", quota)
    # EC2's description takes a third of a second to read, for each client otherwise.
    monkeypatch.setattr("botocore.session.create_loader", create_loader_once)
    with mock_aws():
        yield


@pytest.fixture
def amazons_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """EC2 returns that an address is Amazon's own; moto returns the account for every one."""
    association: Any = NetworkInterface.association
    owner = {"ipOwnerId": "amazon"}
    amazons = property(lambda self: {**association.fget(self), **(owner if self.public_ip else {})})
    monkeypatch.setattr(NetworkInterface, "association", amazons)


def ask(build_machine: str = "x86_64", needed: Needs | None = None, **settings: object) -> Site:
    given = {"target": "aws", "awsRegion": REGION, "allowedCidrs": ["198.51.100.7/32"], **settings}
    request = Request(
        stack="test",
        settings=parse(given),
        build_machine=build_machine,
        needed=needed or Needs(),
    )
    return check(request)


def objection(**settings: object) -> str:
    with pytest.raises(AwsError) as caught:
        ask(**settings)
    text = str(caught.value)
    assert text.startswith("AWS preflight checks failed:\n")
    assert text.endswith("Nothing was created or changed.")
    return text


@functools.cache
def ec2() -> Any:
    """Return a client that all tests share: making one takes longer than most of its calls."""
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


def test_an_account_with_free_quota_gets_its_zones() -> None:
    assert ask() == Site(
        region=REGION,
        zones=tuple(f"{REGION}{zone}" for zone in "abc"),
        architecture="x86_64",
        account="123456789012",
    )


def test_arm_types_require_an_arm_machine_to_build_on() -> None:
    arm = {"awsManagerType": "t4g.large", "awsWorkerType": "t4g.medium"}
    assert ask(build_machine="aarch64", **arm).architecture == "arm64"
    text = objection(**arm)
    assert "awsManagerType: 't4g.large' is arm64, but the images" in text
    assert "awsWorkerType: 't4g.medium' is arm64, but the images" in text


def test_a_type_that_the_region_lacks_is_named() -> None:
    text = objection(awsWorkerType="t3.huge")
    assert "awsWorkerType: eu-central-1 has no instance type 't3.huge'." in text
    assert "awsManagerType" not in text


def test_types_without_the_memory_that_services_reserve_are_refused() -> None:
    workers = (Part(service="worker", tasks=16, memory=256 * 1024**2),)
    manager = (Part(service="scheduler", tasks=1, memory=1024**3),)
    needed = Needs(first_manager=manager, each_worker=workers)
    with pytest.raises(AwsError) as caught:
        ask(needed=needed, awsManagerType="t3.nano", awsWorkerType="t3.medium")
    text = str(caught.value)
    assert "awsManagerType 't3.nano': the services reserve 1.0 GiB (scheduler 1,024" in text
    assert "it has 0.5 GiB, of which the system takes 0.5 GiB" in text
    assert "awsWorkerType 't3.medium': the services reserve 4.0 GiB (worker 16 x" in text
    ask(needed=needed, awsManagerType="t3.small", awsWorkerType="t3.large")


def test_other_machines_count_against_the_quota_and_our_own_do_not() -> None:
    run_instance("m5.8xlarge", stack="test")
    ask()
    run_instance("m5.8xlarge")
    text = objection()
    assert "vCPUs of on-demand instances: the quota in eu-central-1 is 32, 32 are in use" in text
    assert "this cluster needs 6" in text
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


def test_all_problems_are_reported_at_once() -> None:
    run_instance("m5.8xlarge")
    for _ in range(4):
        ec2().create_vpc(CidrBlock="10.1.0.0/16")
    text = objection()
    assert "vCPUs" in text
    assert "VPCs" in text


def test_of_an_unknown_type_the_other_questions_are_asked_all_the_same() -> None:
    run_instance("m5.8xlarge")
    run_instance("m5.8xlarge", spot=True)
    for _ in range(4):
        ec2().create_vpc(CidrBlock="10.1.0.0/16")
    text = objection(awsManagerType="t3.huge")
    assert "awsManagerType: eu-central-1 has no instance type 't3.huge'" in text
    assert "VPCs: the quota" in text
    assert "vCPUs" not in text  # their number is unknown for t3.huge
    text = objection(awsManagerType="t3.huge", awsSpotWorkers="true")
    assert "vCPUs of spot instances: the quota in eu-central-1 is 32, 32 are in use" in text
    assert "on-demand" not in text
    neither = objection(awsManagerType="t3.huge", awsWorkerType="t3.vast")
    assert "VPCs: the quota" in neither


def test_quotas_are_asked_beside_a_subnet_that_does_not_fit() -> None:
    run_instance("m5.8xlarge")
    lacking, _ = subnet("c")
    text = objection(awsSubnetIds=["subnet-0", lacking], awsWorkerType="c3.large")
    assert "eu-central-1 has no subnet 'subnet-0'." in text
    assert f"{lacking!r} is in {REGION}c, which does not have both c3.large and t3.large" in text
    assert "vCPUs of on-demand instances" in text
    assert "VPCs: the quota" not in text


def test_an_answer_that_fails_takes_no_other_objection_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere, _ = subnet("a")

    def fail(*_: object, **__: object) -> None:
        raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeSubnets")

    monkeypatch.setattr("moto.ec2.responses.subnets.Subnets.describe_subnets", fail)
    text = objection(awsSubnetIds=[elsewhere], awsWorkerType="t3.huge")
    assert "awsWorkerType: eu-central-1 has no instance type 't3.huge'" in text
    assert "the credentials lack permission for the preflight checks" in text


@pytest.mark.parametrize(
    "instance_type",
    [
        *("a1.large", "c7gn.large", "d3en.xlarge", "h1.2xlarge", "i4i.large", "im4gn.large"),
        *("is4gen.large", "m7i-flex.large", "r8g.large", "t3.large", "z1d.large"),
    ],
)
def test_a_standard_type_counts(instance_type: str) -> None:
    assert _standard(instance_type)


@pytest.mark.parametrize(
    "instance_type",
    [
        *("inf1.xlarge", "trn1.2xlarge", "dl1.24xlarge", "hpc7a.12xlarge", "mac2.metal"),
        *("f2.6xlarge", "g5.xlarge", "p5.4xlarge", "vt1.3xlarge", "x2idn.16xlarge"),
        "u-6tb1.metal",
    ],
)
def test_a_type_with_a_quota_of_its_own_does_not(instance_type: str) -> None:
    assert not _standard(instance_type)


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
    assert f"{first!r} and {again!r} are both in {REGION}a. Give one subnet for each zone." in text
    assert "eu-central-1 has no subnet 'subnet-0'." in text
    assert "the subnets are in 2 VPCs" in text


class Cluster:
    """A cluster that runs: manager-1 in zone a, worker-1 in b, worker-2 in c, as they are made."""

    def __init__(
        self,
        identity: str = "0123abcd",
        *,
        cidr: str = "10.80.0.0/16",
        own_vpc: bool = True,
        public: bool = True,
    ) -> None:
        self.tags = [
            {"Key": "dairflow:stack", "Value": "test"},
            {"Key": "dairflow:cluster", "Value": identity},
        ]
        self.vpc = ec2().create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        if own_vpc:
            ec2().create_tags(Resources=[self.vpc], Tags=self.tags)
        network = cidr.rpartition(".0.")[0]
        self.subnets = {
            zone: subnet(zone, f"{network}.{number}.0/24", self.vpc)[0]
            for number, zone in enumerate("abc")
        }
        self.instances = {
            name: self._run(name, self.subnets[zone], public=public)
            for name, zone in (("manager-1", "a"), ("worker-1", "b"), ("worker-2", "c"))
        }

    def _run(self, name: str, subnet_id: str, *, public: bool) -> str:
        tags = [*self.tags, {"Key": "Name", "Value": f"dairflow-test-{name}"}]
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet_id,
            "AssociatePublicIpAddress": public,
        }
        made = ec2().run_instances(
            ImageId="ami-12c6146b",
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return made["Instances"][0]["InstanceId"]


@pytest.mark.usefixtures("amazons_addresses")
def test_a_running_cluster_does_not_conflict_with_itself() -> None:
    Cluster()
    ask(workers="4", awsWorkerType="m5.large")


@pytest.mark.usefixtures("amazons_addresses")
def test_nor_is_one_in_given_subnets_of_which_one_more_or_less_is_given() -> None:
    cluster = Cluster(own_vpc=False, public=False)
    settings = {"awsPublicAddresses": "false"}
    ask(awsSubnetIds=list(cluster.subnets.values()), **settings)
    ask(awsSubnetIds=[cluster.subnets["b"]], **settings)


def test_running_machines_cannot_take_another_network_of_their_vpc() -> None:
    cluster = Cluster()
    text = objection(awsVpcCidr="10.81.0.0/16")
    assert (
        f"awsVpcCidr: '10.81.0.0/16' is another network, but the running machines are in the"
        f" stack's own VPC, {cluster.vpc} (10.80.0.0/16), and cannot leave it" in text
    )
    assert "dairflow:stack=test, dairflow:cluster=0123abcd" in text
    assert "back up the database" in text
    assert "`pulumi destroy` and `pulumi up`" in text


def test_running_machines_cannot_move_between_their_own_vpc_and_given_subnets() -> None:
    own = Cluster()
    elsewhere, vpc = subnet("a")
    runs = f"the running machines are in the stack's own VPC, {own.vpc} (10.80.0.0/16)"
    text = objection(awsSubnetIds=[elsewhere])
    assert f"awsSubnetIds: the subnets are in {vpc}, but {runs}" in text
    text = objection(awsSubnetIds=list(own.subnets.values()))  # the VPC would go from the stack
    assert f"awsSubnetIds: the subnets are in {own.vpc}, but {runs}" in text


def test_nor_out_of_given_subnets_or_to_those_of_another_vpc() -> None:
    given = Cluster(own_vpc=False)
    elsewhere, vpc = subnet("a")
    runs = f"the running machines are in the VPC of other subnets, {given.vpc} (10.80.0.0/16)"
    assert f"awsSubnetIds: no subnet is set, but {runs}" in objection()
    assert f"awsSubnetIds: the subnets are in {vpc}, but {runs}" in objection(
        awsSubnetIds=[elsewhere]
    )


@pytest.mark.usefixtures("amazons_addresses")
@pytest.mark.parametrize("public", [True, False])
def test_running_machines_keep_their_kind_of_addresses(*, public: bool) -> None:
    cluster = Cluster(own_vpc=False, public=public)
    was, given = str(public).lower(), str(not public).lower()
    text = objection(awsSubnetIds=list(cluster.subnets.values()), awsPublicAddresses=given)
    assert (
        f"awsPublicAddresses: it is {given} now, but it was {was} for manager-1, worker-1" in text
    )
    assert "a machine cannot change its kind of addresses" in text


def test_an_elastic_address_reports_no_address_problem() -> None:
    cluster = Cluster(own_vpc=False)  # without the fixture, moto's are the account's
    ask(awsSubnetIds=list(cluster.subnets.values()), awsPublicAddresses="false")


def test_stopped_machines_are_named_with_the_command_that_starts_them() -> None:
    """Their addresses are not held against the settings: a stopped machine has none."""
    cluster = Cluster()
    stopped = [cluster.instances["manager-1"], cluster.instances["worker-2"]]
    ec2().stop_instances(InstanceIds=stopped)
    text = objection()
    assert "manager-1, worker-2 are stopped" in text
    assert f"`aws ec2 start-instances --region {REGION} --instance-ids {' '.join(stopped)}`" in text
    assert "`pulumi up --refresh`" in text
    assert "awsPublicAddresses" not in text
    ec2().start_instances(InstanceIds=stopped[:1])
    assert "worker-2 is stopped" in objection()
    ask(workers="1")  # removes worker-2


def test_a_type_of_another_architecture_would_be_another_machine() -> None:
    Cluster()
    with pytest.raises(AwsError) as caught:
        ask(build_machine="aarch64", awsManagerType="t4g.large", awsWorkerType="t4g.medium")
    text = str(caught.value)
    assert "awsManagerType: 't4g.large' is arm64, but manager-1 is x86_64" in text
    assert "awsWorkerType: 't4g.medium' is arm64, but worker-1, worker-2 are" in text


def test_a_disk_does_not_shrink() -> None:
    cluster = Cluster()
    (disk,) = ec2().describe_instances(InstanceIds=[cluster.instances["manager-1"]])[
        "Reservations"
    ][0]["Instances"][0]["BlockDeviceMappings"]
    ec2().modify_volume(VolumeId=disk["Ebs"]["VolumeId"], Size=60)
    ask(awsManagerVolume=60)
    text = objection(awsManagerVolume=50)
    assert "awsManagerVolume: the disk of manager-1 has 60 GiB and cannot shrink to 50 GiB" in text


def test_what_stops_every_machine_of_a_role_is_a_note() -> None:
    Cluster()
    noted = " ".join(ask(awsManagerType="t3.medium", awsWorkerType="m5.large").notes)
    assert "awsWorkerType: with m5.large, worker-1, worker-2 will stop and start." in noted
    assert "tasks that run there fail" in noted
    assert "manager-1" not in noted
    noted = " ".join(ask(awsManagerType="t3.medium", awsSpotWorkers="true").notes)
    assert "awsSpotWorkers: with true, worker-1, worker-2 will be replaced." in noted
    noted = " ".join(ask(awsManagerType="t3.large").notes)
    assert "awsManagerType: with t3.large, manager-1 will stop" in noted


def test_a_profile_of_the_stack_on_a_machine_is_seen() -> None:
    cluster = Cluster()
    assert not ask().has_profile
    iam = boto3.client("iam", REGION)
    for name in ("somebodys", "dairflow-test-0123"):
        iam.create_instance_profile(InstanceProfileName=name)
    for machine, name in (("manager-1", "somebodys"), ("worker-1", "dairflow-test-0123")):
        assert not ask().has_profile
        ec2().associate_iam_instance_profile(
            InstanceId=cluster.instances[machine], IamInstanceProfile={"Name": name}
        )
    assert ask().has_profile


def test_a_type_that_a_zone_in_use_lacks() -> None:
    """Zone c has no c3, and worker-2 is there."""
    Cluster()
    text = objection(awsWorkerType="c3.large")
    assert (
        f"awsWorkerType: {REGION}c does not have 'c3.large', and worker-2 cannot leave"
        " that zone" in text
    )
    assert f"awsManagerType: {REGION}c does not have 'c3.large'" in objection(
        awsManagerType="c3.large"
    )
    ask(awsWorkerType="c3.large", workers="1")  # removes worker-2


def test_in_given_subnets_a_machines_own_type_counts_alone() -> None:
    """The subnet of a zone that lacks a type stays, for it is not the stack's."""
    cluster = Cluster(own_vpc=False)
    subnets = [cluster.subnets["a"], cluster.subnets["b"]]
    ask(awsSubnetIds=subnets, awsManagerType="c3.large")
    assert f"{REGION}c does not have 'c3.large'" in objection(
        awsSubnetIds=subnets, awsWorkerType="c3.large"
    )


def test_another_cluster_of_the_stacks_name_is_not_a_problem() -> None:
    """Which of the two is this stack's is not known yet."""
    Cluster("00000000", cidr="10.81.0.0/16")
    Cluster("0123abcd")
    ask()
    ask(awsVpcCidr="10.81.0.0/16")
    text = objection(awsVpcCidr="10.82.0.0/16")
    assert "dairflow:cluster=00000000" in text
    assert "dairflow:cluster=0123abcd" in text


def test_terminated_machines_hold_nothing() -> None:
    cluster = Cluster()
    ec2().terminate_instances(InstanceIds=list(cluster.instances.values()))
    ask(awsVpcCidr="10.81.0.0/16")


def test_without_credentials_the_message_has_the_login_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    text = objection()
    assert "AWS rejects the credentials" in text
    assert "aws sso login" in text


def test_a_region_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    text = objection(awsRegion="eu-central-9")
    assert "AWS did not answer in eu-central-9" in text
    assert "Is the region's name right?" in text

"""`target: aws` with the real command line and program, on a cloud on this machine.

moto answers EC2's API, a stand-in serves Pulumi's ``aws`` plugin, and every instance is a plain
Debian container that boots with its user data behind its security groups (``tests/aws``).
"""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aws_cloud.hypervisor import Cloud
from aws_cloud.policy import refused, unneeded
from aws_cloud.server import Server
from aws_standin.install import install
from project import ROOT, Project, make_project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

REGION = "eu-central-1"
STACK = "test-aws"
WEB_PORT, FLOWER_PORT = 28081, 25556
DAG = "cluster_check"
VPC_CIDR = "10.215.0.0/16"
MACHINES = ("manager-1", "worker-1", "worker-2")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    cloud = Cloud(REGION, VPC_CIDR, str(os.getpid()))
    try:
        cloud.serve_images()
    except BaseException:
        cloud.close()
        raise
    yield cloud
    (ROOT / ".dairflow" / "e2e-aws-machines.log").write_text(cloud.logs())
    cloud.close()
    assert cloud.problems == []


@pytest.fixture(scope="module")
def project(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("aws")
    environment = {**cloud.server.environment(), "PULUMI_HOME": str(_own_home(folder))}
    assert cloud.images is not None
    environment["SSL_CERT_FILE"] = str(cloud.images.trusted(folder / "trusted.pem"))
    project = make_project(folder, STACK, web_port=WEB_PORT, flower_port=FLOWER_PORT, **environment)
    (folder / "plugin").mkdir()
    install(folder / "plugin", project.environment)
    project.set("target", "aws")
    project.set("awsRegion", REGION)
    project.set("awsVpcCidr", VPC_CIDR)
    project.pulumi("config", "set", "--path", "allowedCidrs[0]", cloud.operator_cidr)
    yield project
    project.clean_up()
    project.save_log("e2e-aws.log")


def _own_home(folder: Path) -> Path:
    """Copy Pulumi's plugins: the stand-in is for this test alone."""
    home = folder / "pulumi"
    shutil.copytree(Path(os.environ["PULUMI_HOME"]) / "plugins", home / "plugins")
    return home


@pytest.fixture(scope="module")
def before(cloud: Cloud) -> dict[str, set[str]]:
    return inventory(cloud.server)


def inventory(server: Server) -> dict[str, set[str]]:
    """Everything in the account that costs or stays."""
    ec2, ecr, iam = (server.client(service) for service in ("ec2", "ecr", "iam"))
    instances = ec2.describe_instances()["Reservations"]
    return {
        "instances": {
            i["InstanceId"]
            for r in instances
            for i in r["Instances"]
            if i["State"]["Name"] != "terminated"
        },
        "vpcs": {v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]},
        "subnets": {s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]},
        "groups": {g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]},
        "gateways": {
            g["InternetGatewayId"] for g in ec2.describe_internet_gateways()["InternetGateways"]
        },
        "tables": {t["RouteTableId"] for t in ec2.describe_route_tables()["RouteTables"]},
        "volumes": {v["VolumeId"] for v in ec2.describe_volumes()["Volumes"]},
        "repositories": {r["repositoryName"] for r in ecr.describe_repositories()["repositories"]},
        "roles": {r["RoleName"] for r in iam.list_roles()["Roles"]},
        "profiles": {
            p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]
        },
        "interfaces": {
            n["NetworkInterfaceId"] for n in ec2.describe_network_interfaces()["NetworkInterfaces"]
        },
    }


def run_dag(project: Project) -> set[str]:
    """Run the example to success; return the nodes that its tasks ran on."""
    airflow = project.airflow()
    airflow.wait_for_dag(DAG, 90)
    run = airflow.trigger(DAG, {})
    assert airflow.wait_for_run(DAG, run, 300) == "success"
    return {task.hostname for task in airflow.tasks(DAG, run)}


def named(cloud: Cloud) -> dict[str, Any]:
    """Return the instances by their machines' names."""
    prefix = f"dairflow-{STACK}-"
    return {name.removeprefix(prefix): found for name, found in cloud.instances().items()}


def test_from_nothing_to_a_dag_that_ran(
    project: Project, cloud: Cloud, before: dict[str, set[str]]
) -> None:
    del before
    project.up()
    assert set(named(cloud)) == set(MACHINES)
    assert project.nodes() == dict.fromkeys(MACHINES, "Ready")
    outputs = project.outputs()
    address = named(cloud)["manager-1"]["PublicIpAddress"]
    assert outputs["airflowUrl"] == f"http://{address}:{WEB_PORT}"
    assert outputs["estimatedMonthlyCost"].startswith("about 161 USD")
    assert run_dag(project) == {"worker-1", "worker-2"}


def test_the_account_has_what_was_asked_for(cloud: Cloud) -> None:
    ec2 = cloud.server.client()
    machines = named(cloud)
    assert len({machine["SubnetId"] for machine in machines.values()}) == 2
    for machine in machines.values():
        assert machine["ImageId"] == "ami-00000000000000001"
        assert machine["MetadataOptions"]["HttpTokens"] == "required"
        assert machine["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        tags = {tag["Key"]: tag["Value"] for tag in machine["Tags"]}
        assert tags["dairflow:stack"] == STACK
        (device,) = machine["BlockDeviceMappings"]
        (volume,) = ec2.describe_volumes(VolumeIds=[device["Ebs"]["VolumeId"]])["Volumes"]
        assert (volume["Encrypted"], volume["VolumeType"]) == (True, "gp3")
        assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == tags


def test_the_bodies_mount_no_cgroups_that_this_machine_does_not(cloud: Cloud) -> None:
    """In version 1 a new one is the whole machine's, and stays after the bodies."""
    for machine in named(cloud).values():
        _, printed = cloud.container(machine["InstanceId"]).exec_run(["cat", "/proc/mounts"])
        assert cgroups(printed.decode()) <= cgroups(Path("/proc/mounts").read_text())


def cgroups(mounts: str) -> set[str]:
    """Return where the hierarchies of version 1 are mounted."""
    fields = (line.split() for line in mounts.splitlines())
    return {where for _, where, kind, *_ in fields if kind == "cgroup"}


def test_no_copy_of_a_host_key_stays_on_a_disk(cloud: Cloud) -> None:
    """But for sshd's own; the seed replaces the metadata service."""
    search = (
        "grep -rlE 'OPENSSH PRIVATE KEY' /etc /root /home /run /tmp /var --include='*'"
        " --exclude-dir=docker --exclude-dir=nocloud; true"
    )
    for machine in named(cloud).values():
        found = cloud.container(machine["InstanceId"]).exec_run(["sh", "-c", search])
        assert found.output.decode().split() == ["/etc/ssh/ssh_host_ed25519_key"]


def test_a_second_up_changes_nothing_also_after_a_refresh(project: Project, cloud: Cloud) -> None:
    """Nor does a newer image of Debian's: it is for new machines."""
    cloud.server.publish_image("13", "x86_64", "ami-000000000000000ff")
    project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    project.expect_no_changes()


def test_the_images_can_move_to_amazons_registry(project: Project, cloud: Cloud) -> None:
    """On a cluster that runs: no instance is recreated, and tasks keep running."""
    instances = {name: found["InstanceId"] for name, found in named(cloud).items()}
    project.set("registry", "ecr")
    project.up()
    assert {name: found["InstanceId"] for name, found in named(cloud).items()} == instances
    assert cloud.images is not None
    reference = project.outputs()["imageRef"]
    assert reference.startswith(f"{cloud.images.registry}/dairflow-{STACK}/airflow@sha256:")
    printed = project.on(
        "manager-1", "docker service inspect --format '{{json .}}' $(docker service ls -q)"
    )
    services = [json.loads(line) for line in printed.splitlines()]
    used = {s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].split("@")[0] for s in services}
    repositories = ("airflow", "postgres", "redis", "web")
    assert used == {f"{cloud.images.registry}/dairflow-{STACK}/{name}" for name in repositories}
    assert run_dag(project) == {"worker-1", "worker-2"}
    project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    project.expect_no_changes()


def test_no_token_for_the_registry_is_kept(project: Project, cloud: Cloud) -> None:
    issued = cloud.server.client("ecr").get_authorization_token()["authorizationData"][0]
    whole = issued["authorizationToken"]
    token = base64.b64decode(whole).decode().partition(":")[2]
    state = project.pulumi("stack", "export", "--show-secrets")
    assert token not in state
    assert whole not in state
    places = "/etc /root /home /run /tmp /var"
    search = f"grep -rsl --exclude-dir=overlay2 -e '{token}' -e '{whole}' {places}; true"
    for machine in named(cloud).values():
        found = cloud.container(machine["InstanceId"]).exec_run(["sh", "-c", search])
        assert found.output.decode() == ""
    assert cloud.server.role_calls == {"ecr:GetAuthorizationToken"}


def test_an_image_that_was_deleted_comes_back(project: Project, cloud: Cloud) -> None:
    """In the registry, and on a node."""
    assert cloud.images is not None
    reference = project.outputs()["imageRef"]
    assert cloud.images.delete(reference) == HTTPStatus.ACCEPTED
    project.on("worker-1", f"docker image rm --force {reference}")
    project.up("--refresh")
    assert project.outputs()["imageRef"] == reference
    project.on("worker-1", f"docker image inspect {reference}")


@pytest.mark.chaos
def test_an_instance_that_was_lost_is_made_again(project: Project, cloud: Cloud) -> None:
    project.up()
    lost = named(cloud)["worker-2"]
    cloud.server.client().terminate_instances(InstanceIds=[lost["InstanceId"]])
    project.up("--refresh")
    again = named(cloud)["worker-2"]
    assert again["InstanceId"] != lost["InstanceId"]
    assert project.nodes() == dict.fromkeys(MACHINES, "Ready")
    assert run_dag(project) == {"worker-1", "worker-2"}


def test_nothing_is_left_after_destroy(
    project: Project, cloud: Cloud, before: dict[str, set[str]]
) -> None:
    project.pulumi("destroy", "--yes", "--skip-preview")
    assert inventory(cloud.server) == before


def test_the_documented_policy_is_what_was_called(cloud: Cloud) -> None:
    assert refused(cloud.server.calls) == []
    assert unneeded(cloud.server.calls) == []

"""The program with ``target: aws`` against Pulumi's mocks, on an account that has everything."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockMonitor

from infra.firewall import Policy, security_group_rules
from infra.machines import target_packages
from infra.swarm.commands import INSTALL_NODE
from tests.unit.resources.recorder import COMPUTED, Recorder, once, run_program

target_packages.use("aws")
from aws_standin import upstream  # noqa: E402

from infra.machines.aws.machines import _known  # noqa: E402
from infra.machines.aws.preflight import AwsError, Request, Site  # noqa: E402
from infra.machines.aws.registry import repository_name  # noqa: E402

ROOT = Path(__file__).parents[3]
REGION = "eu-central-1"
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
REQUIRED = {"target": "aws", "awsRegion": REGION, "allowedCidrs": '["198.51.100.7/32"]'}


class Cloud(Recorder):
    """Answers as the ``aws`` plugin would."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[str, Any] = {}
        """Name → the request to the engine, options included."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity, outputs = super().new_resource(args)
        if args.typ == "aws:ecr/repository:Repository":
            name = args.inputs["name"]
            outputs |= {"repositoryUrl": f"{ECR}/{name}", "arn": f"arn:aws:ecr:::{name}"}
        if args.typ.startswith("aws:iam/"):
            outputs.setdefault("name", identity)
        if args.typ == "aws:ec2/instance:Instance":
            role, number = args.name.split("-")
            number = int(number) + (100 if role == "worker" else 0)
            outputs |= {"privateIp": f"10.80.0.{number}", "publicIp": f"203.0.113.{number}"}
        return identity, outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        assert args.token == "aws:ec2/getAmi:getAmi"
        self.image_query = args.args
        return {"id": "ami-1"}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is found in the account; a test may change it. See test_aws_preflight.py."""
    found: dict[str, Any] = {"architecture": "x86_64", "account": "123456789012"}

    def look(request: Request) -> Site:
        zones = tuple(f"{request.region}{letter}" for letter in "abc")
        return Site(**{"region": request.region, "zones": zones, **found})

    monkeypatch.setattr("infra.machines.aws.preflight.check", look)
    monkeypatch.setattr("infra.remote.tunnel.open_tunnel", lambda port, *_: port)
    return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cloud]:
    register = MockMonitor.RegisterResource

    def keep(self: MockMonitor, request: Any) -> Any:
        self.mocks.requests[request.name] = request
        return register(self, request)

    monkeypatch.setattr(MockMonitor, "RegisterResource", keep)

    def run_with(**settings: str) -> Cloud:
        recorder = Cloud()
        given = {**REQUIRED, **settings}
        run_program(
            recorder, {k if ":" in k else f"dairflow:{k}": v for k, v in given.items() if v}
        )
        return recorder

    return run_with


_RUNS: dict[frozenset[tuple[str, str]], Cloud] = {}


@pytest.fixture
def run_once(run: Callable[..., Cloud]) -> Callable[..., Cloud]:
    """Run the program for a test that only reads what is made."""
    return once(run, _RUNS)


def test_the_default_is_a_vpc_with_a_subnet_in_every_zone(run_once: Callable[..., Cloud]) -> None:
    made = run_once()
    assert made.resources["vpc"][1]["cidrBlock"] == "10.80.0.0/16"
    made_subnets = made.of_type("/subnet:Subnet").values()
    assert {s["availabilityZone"]: s["cidrBlock"] for s in made_subnets} == {
        "eu-central-1a": "10.80.0.0/20",
        "eu-central-1b": "10.80.16.0/20",
        "eu-central-1c": "10.80.32.0/20",
    }
    assert made.resources["internet-route"][1]["gatewayId"] == "internet-gateway-id"
    associations = made.of_type(":RouteTableAssociation").values()
    assert {a["subnetId"] for a in associations} == {
        f"subnet-eu-central-1{zone}-id" for zone in "abc"
    }


def test_instances_are_sized_by_their_role(run_once: Callable[..., Cloud]) -> None:
    made = run_once(awsManagerVolume="50", awsWorkerType="m6i.large").of_type(":Instance")
    assert set(made) == {"manager-1", "worker-1", "worker-2"}
    assert made["manager-1"]["instanceType"] == "t3.large"
    assert made["worker-1"]["instanceType"] == "m6i.large"
    volumes = {name: inputs["rootBlockDevice"]["volumeSize"] for name, inputs in made.items()}
    assert volumes == {"manager-1": 50, "worker-1": 30, "worker-2": 30}


def test_every_disk_is_encrypted_and_no_container_reads_the_user_data(
    run_once: Callable[..., Cloud],
) -> None:
    for inputs in run_once().of_type(":Instance").values():
        assert inputs["rootBlockDevice"]["encrypted"] is True
        assert inputs["rootBlockDevice"]["volumeType"] == "gp3"
        assert inputs["rootBlockDevice"]["deleteOnTermination"] is True
        assert inputs["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }


def test_managers_are_spread_over_the_zones(run_once: Callable[..., Cloud]) -> None:
    made = run_once(managers="3").of_type(":Instance")
    assert len({made[f"manager-{n}"]["subnetId"] for n in (1, 2, 3)}) == 3


def test_one_more_worker_changes_no_other_machine(run_once: Callable[..., Cloud]) -> None:
    before = run_once(workers="2").of_type(":Instance")
    after = run_once(workers="3").of_type(":Instance")
    assert set(after) - set(before) == {"worker-3"}
    assert {name: after[name] for name in before} == before


def test_the_image_is_debians_own_and_the_newest(run_once: Callable[..., Cloud]) -> None:
    made = run_once()
    assert made.image_query["owners"] == ["136693071363"]
    assert made.image_query["mostRecent"] is True
    filters = {f["name"]: f["values"] for f in made.image_query["filters"]}
    assert filters["name"] == ["debian-13-amd64-*"]
    assert filters["architecture"] == ["x86_64"]
    assert {i["ami"] for i in made.of_type(":Instance").values()} == {"ami-1"}


def test_an_arm_cluster_has_arm_machines_and_arm_images(
    run: Callable[..., Cloud], account: dict[str, Any]
) -> None:
    account["architecture"] = "arm64"
    made = run(awsManagerType="t4g.large", awsWorkerType="t4g.medium")
    filters = {f["name"]: f["values"] for f in made.image_query["filters"]}
    assert filters["architecture"] == ["arm64"]
    builds = [
        inputs["build"]["platform"] for inputs in made.of_type("docker:index/image:Image").values()
    ]
    assert set(builds) == {"linux/arm64"}


def test_workers_alone_are_spot_instances(run_once: Callable[..., Cloud]) -> None:
    made = run_once(awsSpotWorkers="true").of_type(":Instance")
    assert "instanceMarketOptions" not in made["manager-1"]
    assert made["worker-1"]["instanceMarketOptions"] == {
        "marketType": "spot",
        "spotOptions": {
            "spotInstanceType": "one-time",
            "instanceInterruptionBehavior": "terminate",
        },
    }
    assert "instanceMarketOptions" not in run_once().of_type(":Instance")["worker-1"]


VARIETY: tuple[dict[str, str], ...] = (
    {},
    {"awsSpotWorkers": "true", "registry": "ecr", "managers": "3"},
    {"awsProtect": "true", "awsWorkerVolume": "50", "webPort": "18080"},
)
"""Settings that make everything which the program can make."""


def test_the_program_gives_what_the_table_of_inputs_decides_and_nothing_else(
    run_once: Callable[..., Cloud],
) -> None:
    given: dict[str, set[str]] = {}
    for settings in VARIETY:
        for kind, inputs in run_once(**settings).resources.values():
            if kind.startswith("aws:"):
                given.setdefault(kind, set()).update(paths(inputs))
    for token, inputs in upstream.types().items():
        decided = {name for name, one in inputs.items() if one.ours != "unused"}
        assert given[token] & inputs.keys() == decided, token
        assert {path for path in given[token] if "." not in path} <= decided, token


def paths(inputs: dict[str, Any], prefix: str = "") -> set[str]:
    found = {prefix + name for name in inputs}
    for name, value in inputs.items():
        if isinstance(value, dict) and name != "tags":
            found |= paths(value, f"{prefix}{name}.")
    return found


def test_no_input_replaces_a_manager(run_once: Callable[..., Cloud]) -> None:
    """Each that could is for new machines alone, or refused while machines run."""
    for settings in VARIETY:
        made = run_once(**settings)
        for name in (name for name in made.of_type(":Instance") if name.startswith("manager-")):
            request, inputs = made.requests[name], made.resources[name][1]
            assert not request.HasField("replacement_trigger")
            for path in paths(inputs) & upstream.types()["aws:ec2/instance:Instance"].keys():
                one = upstream.types()["aws:ec2/instance:Instance"][path]
                assert (path in request.ignoreChanges) == (one.ours == "ignored"), path
                if {"replaces", "replaces-sometimes"} & one.upstream:
                    assert one.ours in ("ignored", "launch", "refused"), path


def test_what_is_ignored_is_what_the_table_lists(run_once: Callable[..., Cloud]) -> None:
    requests = run_once(registry="ecr").requests.values()
    for token, inputs in upstream.types().items():
        ignored = {name for name, one in inputs.items() if one.ours == "ignored"}
        of_type = [request for request in requests if request.type == token]
        assert of_type
        assert all(set(request.ignoreChanges) == ignored for request in of_type), token


def test_an_input_that_keeps_its_value_is_left_out_only_if_intended(
    run_once: Callable[..., Cloud],
) -> None:
    """To leave such a one out takes nothing back."""
    made = [run_once(**settings).resources for settings in VARIETY]
    names = set.intersection(*(set(resources) for resources in made))
    for name in names:
        token = made[0][name][0]
        given = [paths(resources[name][1]) for resources in made]
        for path in set.union(*given) - set.intersection(*given):
            one = upstream.types().get(token, {}).get(path)
            assert one is None or not one.keeps_its_value or one.ours in ("kept", "trigger"), path


def test_a_change_of_the_market_replaces_workers_alone(run_once: Callable[..., Cloud]) -> None:
    for given in ("true", "false"):
        requests = run_once(awsSpotWorkers=given).requests
        assert requests["worker-1"].replacement_trigger.bool_value is (given == "true")
        assert not requests["manager-1"].HasField("replacement_trigger")


def test_machines_keep_a_profile_that_they_have(
    run: Callable[..., Cloud], account: dict[str, Any]
) -> None:
    """Without a permission, once the registry is the cluster's own again."""
    account["has_profile"] = True
    made = run()
    for inputs in made.of_type(":Instance").values():
        assert inputs["iamInstanceProfile"] == "nodes-profile-id"
    assert made.of_type(":RolePolicy") == made.of_type(":Repository") == {}
    assert made.of_type(":Registry") != {}


def test_what_is_for_the_launch_is_left_out_for_an_instance_that_stays(
    run: Callable[..., Cloud], account: dict[str, Any]
) -> None:
    """A replaced worker is launched like the one before; another cluster's machines are others."""
    launch = {
        name
        for name, one in upstream.types()["aws:ec2/instance:Instance"].items()
        if one.ours == "launch"
    }
    made = run().of_type(":Instance")
    assert all(launch <= paths(inputs) for inputs in made.values())
    cluster_id = made["manager-1"]["tags"]["dairflow:cluster"]
    account["staying"] = frozenset({(cluster_id, "manager-1"), ("another", "worker-1")})
    made = run().of_type(":Instance")
    assert not launch & paths(made["manager-1"])
    assert launch <= paths(made["worker-1"])


def test_the_place_is_kept_before_anything_is_made_there(run_once: Callable[..., Cloud]) -> None:
    made = run_once()
    place = made.resources["place"][1]
    assert (place["region"], place["account"]) == (REGION, "123456789012")
    assert any(urn.endswith("::place") for urn in made.requests["aws"].dependencies)


def test_a_machine_without_a_public_address_needs_a_refresh() -> None:
    assert _known("worker-1", "203.0.113.1") == "203.0.113.1"
    with pytest.raises(pulumi.RunError, match=r"worker-1 has no public .* `pulumi up --refresh`"):
        _known("worker-1", "")


def test_a_protected_stack_protects_its_managers(run_once: Callable[..., Cloud]) -> None:
    made = run_once(awsProtect="true")
    assert made.of_type(":Instance")["manager-1"]["disableApiTermination"] is True
    assert made.of_type(":Instance")["worker-1"]["disableApiTermination"] is False
    assert made.requests["manager-1"].protect is True
    assert made.of_type(":Instance")["manager-1"]["rootBlockDevice"]["deleteOnTermination"] is False
    assert made.of_type(":Instance")["worker-1"]["rootBlockDevice"]["deleteOnTermination"] is True
    assert run_once().of_type(":Instance")["manager-1"]["disableApiTermination"] is False


def test_the_security_group_is_the_table_of_ports(run_once: Callable[..., Cloud]) -> None:
    made = run_once(allowedCidrs='["198.51.100.7/32", "192.0.2.0/24"]', webPort="18080")
    rules = made.of_type(":SecurityGroupIngressRule").values()
    wanted = security_group_rules(
        Policy(
            operator_cidrs=("198.51.100.7/32", "192.0.2.0/24"),
            client_cidrs=("198.51.100.7/32", "192.0.2.0/24"),
            web_port=18080,
        )
    )
    assert {
        (r["ipProtocol"], r.get("fromPort"), r.get("toPort"), r.get("cidrIpv4")) for r in rules
    } == {(w.protocol, w.from_port, w.to_port, w.cidr) for w in wanted}
    for rule in rules:
        assert ("cidrIpv4" in rule) != ("referencedSecurityGroupId" in rule)
        assert rule["securityGroupId"] == "security-group-id"
    (out,) = made.of_type(":SecurityGroupEgressRule").values()
    assert (out["ipProtocol"], out["cidrIpv4"]) == ("-1", "0.0.0.0/0")


def test_no_swarm_port_is_open_to_an_address(run_once: Callable[..., Cloud]) -> None:
    rules = run_once(awsOpenToInternet="true", allowedCidrs='["0.0.0.0/0"]').of_type(
        ":SecurityGroupIngressRule"
    )
    for rule in rules.values():
        if rule.get("fromPort") in (2377, 7946, 4789, 5000):
            assert rule["referencedSecurityGroupId"] == "security-group-id"


def test_everything_carries_the_stacks_name(run_once: Callable[..., Cloud]) -> None:
    made = run_once()
    untagged = {"/route:Route", ":RouteTableAssociation"}
    tagged = 0
    for name, (kind, inputs) in made.resources.items():
        if kind.startswith("aws:") and not any(kind.endswith(one) for one in untagged):
            tagged += 1
            assert inputs["tags"]["Name"].startswith("dairflow-test-"), name
            assert inputs["tags"]["dairflow:stack"] == "test"
            assert inputs["tags"]["dairflow:cluster"] == "0123abcd"
    assert tagged > 10
    for inputs in made.of_type(":Instance").values():
        assert inputs["rootBlockDevice"]["tags"] == inputs["tags"]


def test_amazons_registry_takes_the_place_of_the_clusters_own(
    run_once: Callable[..., Cloud],
) -> None:
    made = run_once(registry="ecr", imageName="our-airflow")
    names = {f"dairflow-test/{name}" for name in ("our-airflow", "postgres", "redis", "web")}
    repositories = made.of_type(":Repository")
    assert {inputs["name"] for inputs in repositories.values()} == names
    assert all(inputs["forceDelete"] for inputs in repositories.values())
    kept = {inputs["repository"]: inputs for inputs in made.of_type(":LifecyclePolicy").values()}
    assert set(kept) == names
    (rule,) = json.loads(kept["dairflow-test/redis"]["policy"])["rules"]
    assert rule["selection"]["countType"] == "imageCountMoreThan"
    assert made.of_type(":Registry") == made.of_type(":RegistryCertificate") == {}
    assert made.of_type(":PushPort") == {}
    (swarm,) = made.of_type(":Swarm").values()
    assert swarm["trusted_registries"] == {}
    assert "registry_port" not in swarm["firewall"]
    rules = made.of_type(":SecurityGroupIngressRule").values()
    assert 5000 not in {rule.get("fromPort") for rule in rules}


def test_an_instance_may_pull_from_the_stacks_repositories_alone(
    run_once: Callable[..., Cloud],
) -> None:
    made = run_once(registry="ecr")
    profile = made.resources["nodes-profile"]
    for inputs in made.of_type(":Instance").values():
        assert inputs["iamInstanceProfile"] == "nodes-profile-id"
    assert profile[1]["role"] == made.resources["nodes-may-pull"][1]["role"] == "nodes-role-id"
    token, pull = json.loads(made.resources["nodes-may-pull"][1]["policy"])["Statement"]
    assert (token["Action"], token["Resource"]) == ("ecr:GetAuthorizationToken", "*")
    assert pull["Resource"] == [
        f"arn:aws:ecr:::dairflow-test/{name}" for name in ("airflow", "postgres", "redis", "web")
    ]
    assert set(pull["Action"]) == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    }
    assert "iamInstanceProfile" not in run_once().of_type(":Instance")["worker-1"]


def test_no_token_of_amazons_is_in_any_resource(run_once: Callable[..., Cloud]) -> None:
    made = run_once(registry="ecr")
    for image in made.of_type("docker:index/image:Image").values():
        assert image["skipPush"] is True
        assert image["imageName"].startswith(f"{ECR}/dairflow-test/")
        assert "registry" not in image
    (stack,) = made.of_type(":Stack").values()
    assert "login" not in stack
    (on_nodes,) = made.of_type(":NodeImages").values()
    airflow = f"{ECR}/dairflow-test/airflow@sha256:{'0' * 64}"
    assert on_nodes["references"]["worker"] == [airflow]
    assert len(on_nodes["references"]["manager"]) == 4
    assert len(on_nodes["machines"]) == 3
    assert run_once().of_type(":NodeImages") == {}


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("dairflow-production", "dairflow-production/airflow"),
        ("dairflow-My_Stack", "dairflow-my-stack/airflow"),
        ("dairflow-a--b.", "dairflow-a-b/airflow"),
    ],
)
def test_a_repositorys_name_is_one_that_ecr_takes(prefix: str, name: str) -> None:
    assert repository_name(prefix, "airflow") == name


def test_given_subnets_take_the_place_of_a_vpc(
    run: Callable[..., Cloud], account: dict[str, Any]
) -> None:
    second, first = "subnet-0a", "subnet-0b"
    found = {f"{REGION}a": second, f"{REGION}b": first}
    account.update(zones=tuple(found), vpc_id="vpc-1", subnets=found)
    made = run(awsSubnetIds=f'["{first}", "{second}"]', awsPublicAddresses="false")
    assert made.resources["security-group"][1]["vpcId"] == "vpc-1"
    assert made.of_type(":Vpc") == {}
    assert made.of_type(":Route") == {}
    machines = made.of_type(":Instance")
    assert machines["worker-1"]["subnetId"] == second
    assert machines["worker-2"]["subnetId"] == first
    assert machines["worker-1"]["associatePublicIpAddress"] is False
    (swarm,) = made.of_type(":Swarm").values()
    assert [m["address"] for m in swarm["machines"]] == ["10.80.0.1", "10.80.0.101", "10.80.0.102"]


def test_the_machines_are_reached_by_their_public_addresses(run_once: Callable[..., Cloud]) -> None:
    (swarm,) = run_once().of_type(":Swarm").values()
    first = swarm["machines"][0]
    assert (first["address"], first["private_address"]) == ("203.0.113.1", "10.80.0.1")
    assert first["user"] == "admin"
    assert swarm["firewall"]["operator_cidrs"] == ["198.51.100.7/32"]


def test_the_host_key_is_the_only_secret_of_the_user_data(run_once: Callable[..., Cloud]) -> None:
    marked = run_once().of_type(":Instance")["worker-1"]["userData"]
    assert marked[rpc._special_sig_key] == rpc._special_secret_sig
    text = marked["value"]
    document = yaml.safe_load(text)
    keys = COMPUTED["pulumi-python:dynamic/keys:SshKey"]
    assert text.startswith("#cloud-config\n")
    assert document["hostname"] == "worker-1"
    assert document["ssh_keys"]["ed25519_private"].strip() == keys["private_key"]
    assert document["ssh_authorized_keys"] == [keys["public_key"]]
    install, group = document["runcmd"]
    assert install == ["sh", "-c", INSTALL_NODE]  # which ends its own shell, not the list's
    assert group == "usermod --append --groups docker admin"
    for value in COMPUTED["pulumi-python:dynamic/keys:Secrets"]["values"].values():
        assert value not in text


def test_the_region_may_be_pulumis_own_setting(run_once: Callable[..., Cloud]) -> None:
    made = run_once(**{"awsRegion": "", "aws:region": "eu-west-1"})
    assert made.resources["aws"][1]["region"] == "eu-west-1"
    zones = {s["availabilityZone"] for s in made.of_type("/subnet:Subnet").values()}
    assert zones == {"eu-west-1a", "eu-west-1b", "eu-west-1c"}


def test_wrong_settings_stop_before_anything_is_asked(run: Callable[..., Cloud]) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        run(allowedCidrs="", awsRegion="", awsManagerType="large")
    text = str(caught.value)
    assert "allowedCidrs: must be set. Use the IPv4 networks that may reach SSH" in text
    assert "awsRegion: must be set. Use the AWS region" in text
    assert "awsManagerType: 'large' is not valid. Use an EC2 instance type" in text


def test_an_objection_of_the_account_stops_before_any_resource(
    run: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Request) -> None:
        message = "no room"
        raise AwsError(message)

    made: list[str] = []
    monkeypatch.setattr("infra.machines.aws.preflight.check", refuse)
    monkeypatch.setattr(Cloud, "new_resource", lambda _, args: (made.append(args.name), {}))
    with pytest.raises(pulumi.RunError, match="no room"):
        run()
    assert made == []


def test_what_could_not_be_checked_is_reported(
    run: Callable[..., Cloud], account: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", printed.append)
    account["notes"] = ("The quota could not be read.",)
    run()
    assert printed == ["The quota could not be read."]


def test_without_its_packages_the_target_reports_what_to_do(
    run: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", "/nowhere")
    with pytest.raises(pulumi.RunError, match=r"are not in /nowhere.*make setup"):
        run()


def test_other_targets_import_nothing_of_it() -> None:
    """pulumi-aws takes a second to import, and is not in the environment itself."""
    code = (
        "import sys, infra.cluster, infra.machines.provision, infra.machines.targets,"
        " infra.settings.loading;"
        "print([m for m in sys.modules if m.startswith(('pulumi_aws', 'boto'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

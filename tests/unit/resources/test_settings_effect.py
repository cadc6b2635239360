"""Every setting of `Pulumi.yaml` reaches a resource: one that is wired to nothing fails here."""

import functools
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra import credentials
from infra.machines import target_packages
from infra.settings.secrets import ROTATED
from tests.unit.resources.recorder import run_program
from tests.unit.resources.test_state_names import STACKS, AnyTarget

target_packages.use("aws")
from infra.machines.aws.preflight import Request, Site  # noqa: E402

SUBNET = "subnet-0123456789abcdef0"
LOCAL, EXISTING, AWS = STACKS["local"], STACKS["existing"], STACKS["aws"]
MAIL = {
    "smtpHost": "smtp.example.org",
    "smtpUser": "airflow",
    "smtpPassword": "hunter2hunter2",
    "smtpFrom": "airflow@example.org",
    "smtpCheck": "false",
}
AUTHORITY = credentials.registry_certificate(["s3.example.org"]).authority
BUCKET = {
    "backupS3Bucket": "nightly",
    "backupS3AccessKey": "access",
    "backupS3SecretKey": "secret",
}
HOSTS = json.loads(EXISTING["hosts"])

CHANGES: dict[str, tuple[dict[str, str], str]] = {
    "target": (LOCAL, "existing"),
    "managers": (LOCAL, "3"),
    "workers": (LOCAL, "3"),
    "workersPerNode": (LOCAL, "2"),
    "workerConcurrency": (LOCAL, "8"),
    "overlayNetwork": (LOCAL, "10.50.0.0/20"),
    "taskGrace": (LOCAL, "60"),
    "registry": (AWS, "ecr"),
    "imageName": (LOCAL, "flow"),
    "webPort": (LOCAL, "8090"),
    "flowerPort": (LOCAL, "5556"),
    "connectionsPerSecond": (LOCAL, "5"),
    "allowedCidrs": (AWS, '["198.51.100.8/32"]'),
    "airflowConfig": (LOCAL, '{"core": {"default_timezone": "Europe/Berlin"}}'),
    "taskMemory": (LOCAL, "1g"),
    "memoryLimits": (LOCAL, '{"scheduler": "2g"}'),
    "logRetentionDays": (LOCAL, "7"),
    "keepReleases": (LOCAL, "5"),
    "backups": (LOCAL, "false"),
    "backupEveryHours": (LOCAL, "12"),
    "backupRetentionDays": (LOCAL, "7"),
    "backupPassphrase": (LOCAL, "a passphrase of my own for backups"),
    "backupS3Bucket": ({**LOCAL, **BUCKET}, "weekly"),
    "backupS3Endpoint": ({**LOCAL, **BUCKET}, "s3.example.org:9000"),
    "backupS3Region": ({**LOCAL, **BUCKET}, "eu-central-1"),
    "backupS3Path": ({**LOCAL, **BUCKET}, "/another"),
    "backupS3AccessKey": ({**LOCAL, **BUCKET}, "another"),
    "backupS3SecretKey": ({**LOCAL, **BUCKET}, "another"),
    "backupS3Ca": ({**LOCAL, **BUCKET}, AUTHORITY),
    "smtpHost": ({**LOCAL, **MAIL}, "smtp.example.net"),
    "smtpPort": ({**LOCAL, **MAIL}, "2525"),
    "smtpTls": ({**LOCAL, **MAIL}, "implicit"),
    "smtpUser": ({**LOCAL, **MAIL}, "another"),
    "smtpPassword": ({**LOCAL, **MAIL}, "another"),
    "smtpFrom": ({**LOCAL, **MAIL}, "another@example.org"),
    "smtpCa": ({**LOCAL, **MAIL}, AUTHORITY),
    "smtpCheck": ({**LOCAL, **MAIL, "smtpHost": "smtp.invalid"}, "true"),
    "restoreFrom": (LOCAL, "latest"),
    "rotateSecrets": (LOCAL, '{"redis_password": 1}'),
    "fernetKey": (LOCAL, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
    "hosts": (EXISTING, json.dumps(HOSTS[:2])),
    "adopt": (EXISTING, "true"),
    "removeEngine": (EXISTING, "true"),
    "awsRegion": (AWS, "eu-west-1"),
    "awsProfile": (AWS, "work"),
    "awsManagerType": (AWS, "m6i.large"),
    "awsWorkerType": (AWS, "m6i.large"),
    "awsManagerVolume": (AWS, "50"),
    "awsWorkerVolume": (AWS, "50"),
    "awsSpotWorkers": (AWS, "true"),
    "awsVpcCidr": (AWS, "10.81.0.0/16"),
    "awsSubnetIds": (AWS, f'["{SUBNET}"]'),
    "awsPublicAddresses": ({**AWS, "awsSubnetIds": f'["{SUBNET}"]'}, "false"),
    "awsOpenToInternet": ({**AWS, "allowedCidrs": '["0.0.0.0/0"]'}, "true"),
    "awsProtect": (AWS, "true"),
}
"""Setting → a stack, and another value for it."""


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(request: Request) -> Site:
        zone = f"{request.region}a"
        given = request.settings.aws_subnet_ids
        return Site(
            region=request.region,
            zones=(zone,),
            architecture="x86_64",
            account="1234",
            vpc_id="vpc-1" if given else "",
            subnets={zone: SUBNET} if given else {},
        )

    monkeypatch.setattr("infra.machines.aws.preflight.check", look)
    monkeypatch.setattr("infra.remote.tunnel.open_tunnel", lambda port, *_: port)


def outcome(settings: dict[str, str]) -> Any:
    """Return what the program requests: resources with their inputs, or a refusal."""
    made = AnyTarget()
    try:
        run_program(made, {f"dairflow:{key}": value for key, value in settings.items()})
    except pulumi.RunError as error:
        return str(error)
    return made.resources


@functools.cache
def outcome_once(settings: frozenset[tuple[str, str]]) -> Any:
    """Return `outcome` of a stack that many tests compare with; the program runs once for it."""
    return outcome(dict(settings))


def test_every_setting_is_listed() -> None:
    project = yaml.safe_load((Path(__file__).parents[3] / "Pulumi.yaml").read_text())
    assert CHANGES.keys() == project["config"].keys()


@pytest.mark.parametrize("secret", ROTATED)
def test_every_rotation_reaches_a_resource(secret: str) -> None:
    once, twice = (outcome({**LOCAL, "rotateSecrets": f'{{"{secret}": {n}}}'}) for n in (1, 2))
    assert not isinstance(once, str), once
    assert outcome(LOCAL) != once != twice


@pytest.mark.parametrize("stack", [LOCAL, EXISTING, AWS])
def test_the_same_settings_make_the_same(stack: dict[str, str]) -> None:
    assert outcome(stack) == outcome(stack)


@pytest.mark.parametrize("key", CHANGES)
def test_another_value_changes_what_is_made(key: str) -> None:
    stack, value = CHANGES[key]
    before, after = outcome_once(frozenset(stack.items())), outcome({**stack, key: value})
    assert before != after
    if key not in ("target", "awsOpenToInternet"):
        assert not isinstance(before, str), before
    if key not in ("target", "smtpCheck"):  # one needs other settings, one is the check itself
        assert not isinstance(after, str), after

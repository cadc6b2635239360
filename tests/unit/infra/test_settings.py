"""The settings: defaults, bounds, and one report of every mistake."""

from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from annotated_types import Ge, Le
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from infra.machines.targets import TARGETS
from infra.settings.model import Settings
from infra.settings.parse import SettingsError
from tests.unit.parsed import parse

SCHEMA = yaml.safe_load((Path(__file__).parents[3] / "Pulumi.yaml").read_text())["config"]


def test_the_defaults_are_a_small_local_cluster() -> None:
    settings = parse({})
    assert (settings.target, settings.managers, settings.workers) == ("local", 1, 2)


def first_words(field: FieldInfo) -> str:
    """What the description of a setting begins with: its type, and an integer's bounds."""
    annotation: Any = field.annotation
    if annotation is int:
        low = next(bound.ge for bound in field.metadata if isinstance(bound, Ge))
        high = next(bound.le for bound in field.metadata if isinstance(bound, Le))
        return f"Integer, {low} to {high}. "
    if annotation is bool:
        return "Boolean. "
    if get_origin(annotation) is tuple:
        entry = get_args(annotation)[0]
        is_object = isinstance(entry, type) and issubclass(entry, BaseModel)
        return "List of objects. " if is_object else "List of strings. "
    if get_origin(annotation) is dict:
        return "Object. "
    assert annotation is str
    return "String. "


def test_pulumi_yaml_describes_every_setting_and_its_type() -> None:
    fields = {key: field for target in TARGETS.values() for key, field in target.fields.items()}
    assert set(SCHEMA) == set(fields)
    for key, field in fields.items():
        begin, description = first_words(field), SCHEMA[key]["description"]
        assert description.startswith(begin), key
        assert description.removeprefix(begin).strip(), key


def test_pulumi_yaml_names_every_choice() -> None:
    choices = {
        "target": list(TARGETS),
        "registry": [r for t in TARGETS.values() for r in t.registries],
    }
    for key, names in choices.items():
        assert all(name in SCHEMA[key]["description"] for name in names), key


def test_pulumi_yaml_leaves_the_types_to_the_one_report() -> None:
    """A ``type`` there is checked by the command line, alone and before the program runs."""
    assert all(set(entry) == {"default", "description"} for entry in SCHEMA.values())


def test_pulumi_yaml_has_the_same_defaults_as_the_model() -> None:
    defaults = {key: entry["default"] for key, entry in SCHEMA.items()}
    assert parse(defaults) == Settings()
    for target in TARGETS.values():
        for key, field in target.fields.items():
            given = list(field.default) if isinstance(field.default, tuple) else field.default
            assert (defaults[key], type(defaults[key])) == (given, type(given)), key


def test_a_workers_memory_follows_from_its_tasks() -> None:
    assert parse({}).limits == {"worker": "2560m"}
    given = {"taskMemory": "2g", "workerConcurrency": "8", "memoryLimits": {"redis": "2g"}}
    assert parse(given).limits == {"worker": "16896m", "redis": "2g"}


def test_numbers_come_from_pulumi_as_text() -> None:
    assert parse({"workers": "5", "taskGrace": "60"}).workers == 5


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"workers": "0"}, "workers: '0' given; valid: 1 or more"),
        ({"workers": "501"}, "workers: '501' given; valid: 500 or less"),
        ({"workers": "two"}, "workers: 'two' given; valid: a whole number"),
        ({"managers": "2"}, "managers: '2' given; valid: an odd number (1, 3, 5 or 7)"),
        ({"target": "gcp"}, "target: 'gcp' given; valid: 'local', 'existing' or 'aws'"),
        ({"registry": "hub"}, "registry: 'hub' given; valid: 'embedded'\n"),
        ({"registry": "ecr"}, "registry: 'ecr' given; valid: 'embedded': ecr belongs to target"),
        (
            {"imageName": "redis"},
            "imageName: 'redis' given; valid: another name: the cluster's own",
        ),
        (
            {"rotateSecrets": {"redis_pasword": 1}},
            "rotateSecrets.redis_pasword: 1 given; valid: one of postgres_password, ",
        ),
        ({"rotateSecrets": {"redis_pasword": 1}}, "did you mean redis_password?"),
        (
            {"rotateSecrets": {"redis_password": 0}},
            "rotateSecrets.redis_password: 0 given; valid: a whole number from 1 on",
        ),
        (
            {"rotateSecrets": {"redis_password": "²"}},
            "rotateSecrets.redis_password: '²' given; valid: a whole number from 1 on",
        ),
        (
            {"rotateSecrets": "now"},
            "rotateSecrets: 'now' given; valid: an object, set with --path 'rotateSecrets.NAME'",
        ),
        (
            {"airflowConfig": {"core": {"executor": "LocalExecutor"}}},
            "airflowConfig.core.executor: 'LocalExecutor' given; valid: nothing: the swarm's",
        ),
        (
            {"airflowConfig": {"core": {"paralelism": 3}}},
            "airflowConfig.core.paralelism: 3 given; valid: an option of Airflow; did you mean",
        ),
        (
            {"airflowConfig": {"core": {"fernet_key": "hunter2"}}},
            "airflowConfig.core.fernet_key: a value that is not shown given; valid: nothing: set",
        ),
        ({"airflowConfig": {"core": "x"}}, "airflowConfig.core: 'x' given; valid: an object"),
        (
            {"airflowConfig": {"Core": {"x": 1}}},
            "airflowConfig.Core.x: 1 given; valid: section and option in lower case",
        ),
        (
            {"airflowConfig": {"core": {"default_timezone": SecretStr("hunter2")}}},
            "default_timezone: a value that is not shown given; valid: a value without --secret",
        ),
        ({"airflowConfig": {"core": {"x": {"y": 1}}}}, "airflowConfig.core.x"),
        ({"taskMemory": "a lot"}, "taskMemory: 'a lot' given; valid: a size from 128m on"),
        ({"taskMemory": "1m"}, "taskMemory: '1m' given; valid: a size from 128m on"),
        ({"memoryLimits": {"redis": "1"}}, "memoryLimits.redis: '1' given; valid: a size"),
        ({"memoryLimits": {"schedular": "1g"}}, "did you mean scheduler?"),
        ({"memoryLimits": {"site": "1g"}}, "a service of yours has its limit in docker-compose"),
        ({"memoryLimits": {"worker": "1g"}}, "set taskMemory"),
        ({"logRetentionDays": "0"}, "logRetentionDays: '0' given; valid: 1 or more"),
        ({"fernetKey": "short"}, "fernetKey: a value that is not shown given; valid: 32 bytes in"),
        (
            {"fernetKey": f"{'A' * 43}=", "rotateSecrets": {"fernet_key": 1}},
            "rotateSecrets.fernet_key: 1 given; valid: nothing: you set the key yourself",
        ),
        ({"webPort": "0"}, "webPort: '0' given; valid: 1 or more"),
        ({"webPort": "5000"}, "webPort: '5000' given; valid: another port: this one is the reg"),
        ({"webPort": "5555"}, "flowerPort: 5555 given; valid: another port: this one is webPort's"),
        ({"imageName": "My Image"}, "imageName: 'My Image' given; valid: lower-case letters"),
        (
            {"allowedCidrs": ["192.0.2.0/24"]},
            "allowedCidrs: ['192.0.2.0/24'] given; valid: nothing: with target local, the pages",
        ),
        ({"allowedCidrs": ["10.1.2.3/8"]}, "allowedCidrs[0]: '10.1.2.3/8' given; valid: an IPv4"),
        ({"allowedCidrs": "10.0.0.0/8"}, "allowedCidrs: '10.0.0.0/8' given; valid: a list"),
        ({"backups": "maybe"}, "backups: 'maybe' given; valid: true or false"),
        ({"adopt": "true"}, "adopt: 'true' given; valid: nothing: it belongs to target existing"),
        ({"connectionsPerSecond": "0"}, "connectionsPerSecond: '0' given; valid: 1 or more"),
        ({"taskGrace": "5"}, "taskGrace: '5' given; valid: 10 or more"),
        ({"wrokers": "5"}, "wrokers: '5' given; valid: no such setting; did you mean workers?"),
        ({"WORKERS": "5"}, "WORKERS: '5' given; valid: no such setting; did you mean workers?"),
        ({"web_port": "5"}, "web_port: '5' given; valid: no such setting; did you mean webPort?"),
        ({"xyz": "5"}, "xyz: '5' given; valid: no such setting\n"),
        ({"workers": "2.0"}, "workers: '2.0' given; valid: a whole number"),
        ({"workers": "1_0"}, "workers: '1_0' given; valid: a whole number"),
        ({"workers": "9" * 30}, "valid: 500 or less"),
        ({"webPort": "9" * 5000}, "webPort: '999"),
        ({"workers": ["3"]}, "workers: ['3'] given; valid: a whole number"),
        ({"workers": ""}, "workers: '' given; valid: a whole number"),
        ({"backups": "yes"}, "backups: 'yes' given; valid: true or false"),
        ({"backups": "True"}, "backups: 'True' given; valid: true or false"),
        ({"imageName": ["a"]}, "imageName: ['a'] given; valid: one text, not a list or an object"),
        ({"target": ["aws"]}, "target: ['aws'] given; valid: 'local', 'existing' or 'aws'"),
        ({"registry": {"a": "b"}}, "registry: {'a': 'b'} given; valid: 'embedded'"),
        ({"allowedCidrs": {"a": 1}}, "allowedCidrs: {'a': 1} given; valid: a list, set with --pat"),
        (
            {"passwords": ["x"]},
            "passwords: a value that is not shown given; valid: no such setting",
        ),
    ],
)
def test_a_mistake_says_key_value_and_what_is_valid(raw: dict, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert expected in str(caught.value)


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse({"workers": "0", "managers": "4", "webPort": "x", "flowerPort": "22"})
    text = str(caught.value)
    for key in ("workers", "managers", "webPort", "flowerPort"):
        assert f"  {key}: " in text
    assert "Nothing was created or changed" in text
    assert "pulumi config set managers VALUE" in text


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        ({"workers": "two"}, "pulumi config set workers VALUE"),
        ({"allowedCidrs": "10.0.0.0/8"}, "pulumi config set --path 'allowedCidrs[0]' VALUE"),
        ({"allowedCidrs": ["x"]}, "pulumi config set --path 'allowedCidrs[0]' VALUE"),
        ({"wrokers": "5"}, "pulumi config rm wrokers"),
        ({"adopt": "true"}, "pulumi config rm adopt"),
        ({"allowedCidrs": ["192.0.2.0/24"]}, "pulumi config rm allowedCidrs"),
    ],
)
def test_the_report_ends_with_a_command_that_mends(raw: dict, command: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert str(caught.value).splitlines()[-1].strip() == command


def test_a_secret_is_in_no_part_of_the_report() -> None:
    raw = {
        "target": "existing",
        "imageName": "Hunter 2",
        "managers": "4242",
        "allowedCidrs": ["Hunter 2"],
        "hosts": [{"name": "Hunter 2", "privateKeyFile": "no/hunter2", "address": "hunter.two"}],
    }
    secrets = ("Hunter 2", "4242", "no/hunter2", "hunter.two")
    with pytest.raises(SettingsError) as caught:
        parse(raw, lambda: secrets)
    text = str(caught.value)
    for key in ("imageName", "managers", "allowedCidrs[0]", "hosts[0].privateKeyFile"):
        assert f"  {key}: a value that is not shown given; valid: " in text
    for secret in secrets:
        assert secret not in text

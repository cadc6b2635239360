"""The settings: defaults, bounds, and one report of every mistake."""

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

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
    assert annotation is str or get_origin(annotation) is Literal
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
    for key, field in Settings.model_fields.items():
        if get_origin(field.annotation) is Literal:
            choices[field.alias or key] = list(get_args(field.annotation))
    assert len(choices) > len(("target", "registry"))
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
        ({"workers": "0"}, "workers: '0' is not valid. Use 1 or more"),
        ({"workers": "501"}, "workers: '501' is not valid. Use 500 or less"),
        ({"workers": "two"}, "workers: 'two' is not valid. Use a whole number"),
        ({"managers": "2"}, "managers: '2' is not valid. Use an odd number (1, 3, 5 or 7)"),
        ({"target": "gcp"}, "target: 'gcp' is not valid. Use 'local', 'existing' or 'aws'"),
        ({"registry": "hub"}, "registry: 'hub' is not valid. Use 'embedded'.\n"),
        (
            {"registry": "ecr"},
            "registry: 'ecr' is not valid. Use 'embedded'. The registry ecr",
        ),
        (
            {"imageName": "redis"},
            "imageName: 'redis' is not valid. Use another name: the cluster's own",
        ),
        (
            {"rotateSecrets": {"redis_pasword": 1}},
            "rotateSecrets.redis_pasword: unknown secret. Use one of postgres_password, ",
        ),
        ({"rotateSecrets": {"redis_pasword": 1}}, "Did you mean redis_password?"),
        (
            {"rotateSecrets": {"redis_password": 0}},
            "rotateSecrets.redis_password: 0 is not valid. Use a whole number from 1 on",
        ),
        (
            {"rotateSecrets": {"redis_password": "²"}},
            "rotateSecrets.redis_password: '²' is not valid. Use a whole number from 1 on",
        ),
        (
            {"rotateSecrets": "now"},
            "rotateSecrets: 'now' is not valid. Use an object, set with --path 'rotate",
        ),
        (
            {"airflowConfig": {"core": {"executor": "LocalExecutor"}}},
            "airflowConfig.core.executor: must not be set. The swarm's",
        ),
        (
            {"airflowConfig": {"core": {"paralelism": 3}}},
            "airflowConfig.core.paralelism: unknown option of Airflow. Did you mean core.p",
        ),
        (
            {"airflowConfig": {"core": {"fernet_key": "hunter2"}}},
            "airflowConfig.core.fernet_key: must not be set. Set",
        ),
        ({"airflowConfig": {"core": "x"}}, "airflowConfig.core: 'x' is not valid. Use an object"),
        (
            {"airflowConfig": {"Core": {"x": 1}}},
            "airflowConfig.Core.x: the name is not valid. Use section and option in lower case",
        ),
        (
            {"airflowConfig": {"core": {"default_timezone": SecretStr("hunter2")}}},
            "default_timezone: the value (not shown) is not valid. Use a value without --secret",
        ),
        ({"airflowConfig": {"core": {"x": {"y": 1}}}}, "airflowConfig.core.x"),
        ({"taskMemory": "a lot"}, "taskMemory: 'a lot' is not valid. Use a size from 128m on"),
        ({"taskMemory": "1m"}, "taskMemory: '1m' is not valid. Use a size from 128m on"),
        ({"memoryLimits": {"redis": "1"}}, "memoryLimits.redis: '1' is not valid. Use a size"),
        ({"memoryLimits": {"schedular": "1g"}}, "Did you mean scheduler?"),
        ({"memoryLimits": {"site": "1g"}}, "A service of yours has its limit in docker-compose"),
        ({"memoryLimits": {"worker": "1g"}}, "set taskMemory"),
        ({"logRetentionDays": "0"}, "logRetentionDays: '0' is not valid. Use 1 or more"),
        ({"fernetKey": "short"}, "fernetKey: the value (not shown) is not valid. Use 32 bytes in"),
        (
            {"fernetKey": f"{'A' * 43}=", "rotateSecrets": {"fernet_key": 1}},
            "rotateSecrets.fernet_key: must not be set. You set the key yourself",
        ),
        ({"webPort": "0"}, "webPort: '0' is not valid. Use 1 or more"),
        (
            {"webPort": "5000"},
            "webPort: '5000' is not valid. Use another port: this one is",
        ),
        (
            {"webPort": "5555"},
            "flowerPort: 5555 is not valid. Use another port: this one is web",
        ),
        ({"imageName": "My Image"}, "imageName: 'My Image' is not valid. Use lower-case letters"),
        (
            {"allowedCidrs": ["192.0.2.0/24"]},
            "allowedCidrs: must not be set. With target local, the pages",
        ),
        (
            {"allowedCidrs": ["10.1.2.3/8"]},
            "allowedCidrs[0]: '10.1.2.3/8' is not valid. Use an I",
        ),
        ({"allowedCidrs": "10.0.0.0/8"}, "allowedCidrs: '10.0.0.0/8' is not valid. Use a list"),
        ({"backups": "maybe"}, "backups: 'maybe' is not valid. Use true or false"),
        ({"adopt": "true"}, "adopt: must not be set. It belongs to target existing"),
        ({"connectionsPerSecond": "0"}, "connectionsPerSecond: '0' is not valid. Use 1 or more"),
        ({"taskGrace": "5"}, "taskGrace: '5' is not valid. Use 10 or more"),
        ({"wrokers": "5"}, "wrokers: unknown setting. Did you mean workers?"),
        ({"WORKERS": "5"}, "WORKERS: unknown setting. Did you mean workers?"),
        ({"web_port": "5"}, "web_port: unknown setting. Did you mean webPort?"),
        ({"xyz": "5"}, "xyz: unknown setting.\n"),
        ({"workers": "2.0"}, "workers: '2.0' is not valid. Use a whole number"),
        ({"workers": "1_0"}, "workers: '1_0' is not valid. Use a whole number"),
        ({"workers": "9" * 30}, "Use 500 or less."),
        ({"webPort": "9" * 5000}, "webPort: '999"),
        ({"workers": ["3"]}, "workers: ['3'] is not valid. Use a whole number"),
        ({"workers": ""}, "workers: '' is not valid. Use a whole number"),
        ({"backups": "yes"}, "backups: 'yes' is not valid. Use true or false"),
        ({"backups": "True"}, "backups: 'True' is not valid. Use true or false"),
        (
            {"imageName": ["a"]},
            "imageName: ['a'] is not valid. Use one text, not a list",
        ),
        ({"target": ["aws"]}, "target: ['aws'] is not valid. Use 'local', 'existing' or 'aws'"),
        ({"registry": {"a": "b"}}, "registry: {'a': 'b'} is not valid. Use 'embedded'"),
        (
            {"allowedCidrs": {"a": 1}},
            "allowedCidrs: {'a': 1} is not valid. Use a list, set with",
        ),
        (
            {"passwords": ["x"]},
            "passwords: unknown setting.",
        ),
    ],
)
def test_a_mistake_is_reported_with_key_value_and_what_is_valid(raw: dict, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw)
    assert expected in str(caught.value)
    first, *problems, advice, _ = str(caught.value).splitlines()
    assert (first[-1], advice[:7]) == (":", "Nothing")
    assert problems
    assert all(re.fullmatch(r"  [\w.\[\]]+: .+[.?]", problem) for problem in problems)


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
        assert f"  {key}: the value (not shown) is not valid. Use " in text
    for secret in secrets:
        assert secret not in text

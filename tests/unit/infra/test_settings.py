"""The settings: defaults, bounds, and one report of every mistake."""

from pathlib import Path

import pytest
import yaml

from infra.settings import Settings, SettingsError, keys, parse

SCHEMA = yaml.safe_load((Path(__file__).parents[3] / "Pulumi.yaml").read_text())["config"]


def test_the_defaults_are_a_small_local_cluster() -> None:
    settings = parse({})
    assert (settings.target, settings.managers, settings.workers) == ("local", 1, 2)


def test_pulumi_yaml_declares_every_setting_with_type_and_description() -> None:
    assert set(SCHEMA) == set(keys())
    for key, entry in SCHEMA.items():
        assert entry["type"] in {"string", "integer", "array", "boolean"}, key
        assert entry["description"].strip(), key


def test_pulumi_yaml_has_the_same_defaults_as_the_model() -> None:
    defaults = {key: entry["default"] for key, entry in SCHEMA.items()}
    assert parse(defaults) == Settings()


def test_numbers_come_from_pulumi_as_text() -> None:
    assert parse({"workers": "5", "taskGrace": "60"}).workers == 5


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"workers": "0"}, "workers: '0' given; valid: 1 or more"),
        ({"workers": "51"}, "workers: '51' given; valid: 50 or less"),
        ({"workers": "two"}, "workers: 'two' given; valid: a whole number"),
        ({"managers": "2"}, "managers: '2' given; valid: an odd number (1, 3, 5 or 7)"),
        ({"target": "gcp"}, "target: 'gcp' given; valid: 'local', 'existing' or 'aws'"),
        ({"registry": "hub"}, "registry: 'hub' given; valid: 'embedded'"),
        ({"webPort": "0"}, "webPort: '0' given; valid: 1 or more"),
        ({"webPort": "5000"}, "webPort: '5000' given; valid: another port: this one is the reg"),
        ({"webPort": "5555"}, "flowerPort: 5555 given; valid: another port: this one is webPort's"),
        ({"imageName": "My Image"}, "imageName: 'My Image' given; valid: lower-case letters"),
        ({"allowedCidrs": ["10.1.2.3/8"]}, "allowedCidrs[0]: '10.1.2.3/8' given; valid: an IPv4"),
        ({"allowedCidrs": "10.0.0.0/8"}, "allowedCidrs: '10.0.0.0/8' given; valid: a list"),
        ({"adopt": "maybe"}, "adopt: 'maybe' given; valid: true or false"),
        ({"adopt": "true"}, "adopt: 'true' given; valid: nothing: it belongs to target existing"),
        ({"connectionsPerSecond": "0"}, "connectionsPerSecond: '0' given; valid: 1 or more"),
        ({"taskGrace": "5"}, "taskGrace: '5' given; valid: 10 or more"),
        ({"wrokers": "5"}, "wrokers: '5' given; valid: no such setting"),
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

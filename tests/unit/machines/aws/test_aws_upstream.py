"""The table of the upstream provider's inputs, held against the installed ``pulumi_aws``."""

import inspect
import typing
from collections.abc import Iterator, Sequence

import pytest

from infra.machines import target_packages

target_packages.use("aws")
from aws_standin import schema, upstream  # noqa: E402
from aws_standin.instance import Instance  # noqa: E402
from aws_standin.kinds import KINDS  # noqa: E402
from aws_standin.resources import IngressRule, Vpc  # noqa: E402
from pulumi import _types as pulumi_types  # noqa: E402

UPSTREAM = {"required", "computed", "default", "replaces", "replaces-sometimes"}
OURS = {
    *("unused", "constant", "in-place", "replaced"),
    *("ignored", "launch", "refused", "trigger", "kept"),
}


def args_of(token: str) -> type:
    return getattr(schema._MODULES[schema._module(token)], f"{token.rpartition(':')[2]}Args")


def within(token: str) -> Iterator[tuple[str, str]]:
    """Yield the inputs within those that the table looks into, with what they are in."""
    listed = upstream.types()[token]
    for name in listed:
        if any(other.startswith(f"{name}.") for other in listed):
            kind = args_of(token)
            for part in name.split("."):
                kind = element(pulumi_types.input_type_types(kind)[part])
            for inner in pulumi_types.input_type_py_to_pulumi_names(kind).values():
                yield name, f"{name}.{inner}"


def element(annotation: typing.Any) -> type:
    kind = pulumi_types.unwrap_type(annotation)
    if typing.get_origin(kind) is Sequence:
        return pulumi_types.unwrap_type(typing.get_args(kind)[0])
    return kind


def test_every_type_that_is_served_is_in_the_table() -> None:
    assert upstream.types().keys() == KINDS.keys()


@pytest.mark.parametrize("token", KINDS)
def test_the_table_has_every_input_that_the_installed_package_has(token: str) -> None:
    """A further input of a newer package needs a decision."""
    listed = upstream.types()[token]
    inputs = set(pulumi_types.input_type_py_to_pulumi_names(args_of(token)).values())
    assert {name for name in listed if "." not in name} == inputs
    assert {name for name in listed if "." in name} == {inner for _, inner in within(token)}
    for one in listed.values():
        assert one.upstream <= UPSTREAM
        assert one.ours in OURS


@pytest.mark.parametrize("token", KINDS)
def test_the_table_lists_what_keeps_its_value_when_it_is_left_out(token: str) -> None:
    """The package's output has a value then, though the input may have none."""
    resource, args = schema._class(token), args_of(token)
    module = vars(inspect.getmodule(resource))
    for python, name in pulumi_types.input_type_py_to_pulumi_names(args).items():
        hints = typing.get_type_hints(getattr(resource, python).fget, globalns=module)
        has_value = type(None) not in typing.get_args(typing.get_args(hints["return"])[0])
        one = upstream.types()[token][name]
        is_required = "required" in one.upstream
        parameter = inspect.signature(args).parameters[python]
        assert is_required == (parameter.default is inspect.Parameter.empty), name
        assert has_value == (is_required or one.keeps_its_value), name


def test_what_is_left_out_keeps_its_value_only_if_upstream_computes_it() -> None:
    state = {"iamInstanceProfile": "mine", "sourceDestCheck": False, "instanceType": "t3.large"}
    assert upstream.changes(Instance.TOKEN, state, {"instanceType": "t3.large"}) == [
        "sourceDestCheck"
    ]
    kept = upstream.with_what_stays(Instance.TOKEN, state, {})
    assert kept == {"iamInstanceProfile": "mine", "instanceType": "t3.large"}


def test_a_change_within_an_input_is_reported_by_its_path() -> None:
    state = {"rootBlockDevice": {"encrypted": False, "volumeSize": 40, "iops": 3000}}
    wanted = {"rootBlockDevice": {"encrypted": True, "volumeSize": 50}}
    changed = upstream.changes(Instance.TOKEN, state, wanted)
    assert changed == ["rootBlockDevice.encrypted", "rootBlockDevice.volumeSize"]
    assert upstream.replacing(Instance.TOKEN, changed) == ["rootBlockDevice.encrypted"]


def test_what_forces_a_new_resource_does() -> None:
    changed = upstream.changes(Vpc.TOKEN, {"cidrBlock": "a"}, {"cidrBlock": "b"})
    assert upstream.replacing(Vpc.TOKEN, changed) == ["cidrBlock"]


def test_a_rule_changes_its_source_in_place_and_the_kind_of_its_source_never() -> None:
    rule, old = IngressRule(lambda _: None), {"cidrIpv4": "192.0.2.0/24"}
    assert not rule.replaced_sometimes({"cidrIpv4"}, old, {"cidrIpv4": "192.0.2.1/32"})
    new = {"referencedSecurityGroupId": "sg-1"}
    assert rule.replaced_sometimes({*old, *new}, old, new) == {*old, *new}

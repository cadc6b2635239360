"""A target is its own class and a row of the table: the program runs with one it has never seen."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Annotated, Any

import pulumi
import pytest
from pydantic import Field

from infra.errors import UserError
from infra.machines import targets
from infra.machines.fleet import Fleet, names
from infra.machines.target import Site, Target
from infra.settings.model import Settings
from infra.settings.parse import SettingsError, parse
from infra.settings.problem import missing
from tests.unit.resources.recorder import Recorder, run_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.settings.problem import Problem
    from infra.stack.memory import Needs


class RackSettings(Settings):
    rack: Annotated[str, Field(alias="rack")] = ""
    rack_subnet: Annotated[str, Field(alias="rackSubnet")] = "10.99.0.0/24"


class RackTarget(Target[RackSettings, Site]):
    name = "rack"
    settings = RackSettings
    unused: Mapping[str, str] = {"allowedCidrs": "A rack is not reachable from elsewhere."}
    provider_keys: Mapping[str, str] = {"rack": "racks:default"}

    def conflicts(self, raw: Mapping[str, Any]) -> Iterable[Problem]:
        if not raw.get("rack"):
            yield missing("rack", "the number of a rack")

    def networks(self, raw: Mapping[str, Any]) -> Iterable[tuple[str, IPv4Network]]:
        yield "the rack is there", IPv4Network(raw.get("rackSubnet", "10.99.0.0/24"))

    def preflight(self, stack: str, settings: RackSettings, needed: Needs) -> Site:
        if settings.rack == "full":
            message = f"rack {settings.rack} has no room for {stack}, {len(needed.to_dict())}"
            raise UserError(message)
        return Site(region=settings.rack, account="me", notes=("The rack is warm.",))

    def machines(
        self,
        settings: RackSettings,
        site: Site,
        *,
        cluster_id: pulumi.Output[str],
        needed: Needs,  # noqa: ARG002
        place: pulumi.Resource,
    ) -> Fleet:
        records = [
            {
                "name": name,
                "role": role,
                "address": f"10.99.0.{'1' if role == 'manager' else '2'}{number}",
                "private_address": f"10.99.0.{'1' if role == 'manager' else '2'}{number}",
                "port": 22,
                "user": "root",
                "host_key": "ssh-ed25519 A",
                "labels": {"rack": site.region},
            }
            for name, role, number in names(settings.managers, settings.workers)
        ]
        return Fleet(
            machines=[pulumi.Output.from_input(record) for record in records],
            resources=[place],
            private_key=pulumi.Output.secret("key"),
            operator_cidrs=["10.99.0.1/32"],
            push_port=pulumi.Output.from_input(40_000),
            web_url=pulumi.Output.from_input("http://rack"),
            flower_url=pulumi.Output.from_input("http://rack:5555"),
            mtu=pulumi.Output.from_input(9000),
            outputs={"cluster": cluster_id},
        )


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Target[Any, Any]]:
    """Add the target as its row would."""
    table = {**targets.TARGETS, "rack": RackTarget()}
    monkeypatch.setattr(targets, "TARGETS", table)
    return table


def run(**settings: str) -> Recorder:
    recorder = Recorder()
    run_program(recorder, settings)
    return recorder


def test_the_program_runs_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", printed.append)
    made = run(**{"dairflow:target": "rack", "dairflow:rack": "7", "dairflow:workers": "3"})
    assert printed == ["The rack is warm."]
    place = made.resources["place"][1]
    assert (place["target"], place["region"], place["account"]) == ("rack", "7", "me")
    (swarm,) = made.of_type(":Swarm").values()
    assert [machine["name"] for machine in swarm["machines"]] == [
        "manager-1",
        "worker-1",
        "worker-2",
        "worker-3",
    ]
    assert swarm["firewall"]["operator_cidrs"] == ["10.99.0.1/32"]
    (stack,) = made.of_type(":Stack").values()
    assert "10.99.0.11:5000/" in str(stack["rendered"])


def test_the_key_of_its_provider_applies() -> None:
    made = run(**{"dairflow:target": "rack", "racks:default": "9"})
    assert made.resources["place"][1]["region"] == "9"


def test_its_preflight_stops_the_program_before_any_resource() -> None:
    with pytest.raises(pulumi.RunError, match="rack full has no room for test"):
        run(**{"dairflow:target": "rack", "dairflow:rack": "full"})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"target": "rack"}, "rack: must be set. Use the number of a rack"),
        ({"target": "rack", "rak": "7"}, "Did you mean rack?"),
        (
            {"target": "rack", "rack": "7", "registry": "ecr"},
            "The registry ecr belongs to target",
        ),
        ({"target": "rack", "rack": "7", "adopt": "true"}, "It belongs to target existing"),
        (
            {"target": "rack", "rack": "7", "allowedCidrs": ["192.0.2.0/24"]},
            "A rack is not reachable from elsewhere.",
        ),
        (
            {"target": "rack", "rack": "7", "overlayNetwork": "10.99.0.0/20"},
            "does not overlap 10.99.0.0/24: the rack is there",
        ),
        ({"rack": "7"}, "It belongs to target rack"),
        ({"target": "rak"}, "'local', 'existing', 'aws' or 'rack'"),
    ],
)
def test_its_settings_are_checked_with_all_others(
    table: Mapping[str, Target[Any, Any]], raw: dict[str, Any], expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(raw, table)
    assert expected in str(caught.value)

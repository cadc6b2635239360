"""Each input of each dynamic resource has a decision: what a change of it does.

`Provider.diff` sees ``compared`` and ``replaced_by`` alone. A change of any other input is applied
with the next update for another reason, which may never come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from infra.resources import images, registry
from infra.resources.local import LocalMachineProvider
from tests.unit.resources.recorder import run_program
from tests.unit.resources.test_state_names import STACKS, AnyTarget, site_of
from tests.unit.resources.test_tokens import PROVIDERS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.machines.aws.preflight import Request, Site
    from infra.resources.provider import Provider

_PACE = "how fast it connects: counts from the next operation on"
_NAMED = "the resource's own name, which its URN has too: another one is another resource"
_CONTENT = "part of the tag, which is compared"
_USED_THEN = "how the next release's clean-up reaches them; a change needs none by itself"

WITHOUT_EFFECT: Mapping[str, Mapping[str, str]] = {
    "AcceptedHostKey": {
        "connections_per_second": _PACE,
        "logins": "the key was accepted once, from any user",
        "machine": "the key belongs to the host's name: another address shows no other key",
    },
    "ExistingHosts": {
        "adopt": "what a claim may do: hosts that are claimed stay so",
        "connections_per_second": _PACE,
        "forget": "a command in a message",
    },
    "ImageBuild": {
        "arguments": _CONTENT,
        "context": _CONTENT,
        "dockerfile": _CONTENT,
        "platform": _CONTENT,
        "repository": _NAMED,
    },
    "DeployedImage": {
        "authority": "how the registry is asked for a digest, which stays the same",
        "password": "how the registry is asked for a digest, which stays the same",
        "push_host": "part of push_address, which is compared",
        "push_port": "part of push_address, which is compared",
        "repository": _NAMED,
    },
    "EcrImage": {
        "region": "refused by Place",
        "repository": _NAMED,
    },
    "KeptImages": {
        "connections_per_second": _PACE,
        "logins": _USED_THEN,
        "machines": _USED_THEN,
        "owned": _USED_THEN,
        "private_key": _USED_THEN,
        "registry": _USED_THEN,
    },
    "NodeImages": {"connections_per_second": _PACE},
    "LocalMachine": {
        "authorized_key": "made with the container; OperatorAccess adds and removes later ones",
        "host_key": "made with host_public_key, which is compared",
        "image": "reported by diff: the container, made again, would end running tasks",
        "port_settings": "names of settings in a message",
    },
    "LocalNetwork": {"published": "checked before the first container; then each container's own"},
    "OperatorAccess": {
        "connections_per_second": _PACE,
        "former_keys": "changed with private_key, which is compared",
    },
    "Place": {
        "account": "refused by check",
        "region": "refused by check",
        "target": "refused by check",
    },
    "Registry": {
        "certificate_key": "made with certificate, which is compared",
        "connections_per_second": _PACE,
    },
    "Stack": {"connections_per_second": _PACE, "name": _NAMED},
    "Swarm": {"connections_per_second": _PACE, "name": _NAMED},
}
"""Resource → input whose change is not an update → the reason."""


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.machines.aws.preflight.check", site_of)
    monkeypatch.setattr("infra.remote.tunnel.open_tunnel", lambda port, *_: port)


def inputs_of_every_resource() -> dict[str, set[str]]:
    """Run the program for each target; outputs, which it gives as None, are not recorded."""
    found: dict[str, set[str]] = {}
    for settings in STACKS.values():
        recorder = AnyTarget()
        run_program(recorder, {f"dairflow:{key}": value for key, value in settings.items()})
        for token, inputs in recorder.resources.values():
            name = token.rpartition(":")[2]
            found.setdefault(name, set()).update(inputs.keys() - {"__provider"})
    return found


def test_a_change_of_each_input_is_applied_or_needs_no_update() -> None:
    providers: dict[str, type[Provider]] = {
        provider.__name__.removesuffix("Provider"): provider for provider in PROVIDERS
    }
    assert {resource.__name__ for resource in TOKENS} == set(providers)
    inputs = inputs_of_every_resource()
    undecided = {
        name: sorted(left)
        for name, provider in providers.items()
        if (
            left := inputs[name]
            - {*provider.compared, *provider.replaced_by, *WITHOUT_EFFECT.get(name, {})}
        )
    }
    assert undecided == {}
    stale = {
        (name, key)
        for name, keys in WITHOUT_EFFECT.items()
        for key in keys
        if key not in inputs[name]
        or key in (*providers[name].compared, *providers[name].replaced_by)
    }
    assert stale == set()


def test_a_renewed_image_reaches_a_registry_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded() -> dict[str, Any]:
        recorder = AnyTarget()
        run_program(recorder, {})
        ((_, inputs),) = recorder.of_type("registry:Registry").items()
        return inputs

    before = recorded()
    monkeypatch.setattr(
        registry.project_images, "reference", lambda image: f"dairflow/{image}:renewed"
    )
    after = recorded()
    provider = registry.RegistryProvider()
    assert not provider.diff("manager-1", before, before).changes
    assert provider.diff("manager-1", before, after).changes


def test_another_processor_makes_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the digest of the images for the former one would be deployed."""

    def tags(architecture: Literal["x86_64", "arm64"]) -> set[str]:
        def look(request: Request) -> Site:
            return replace(site_of(request), architecture=architecture)

        monkeypatch.setattr("infra.machines.aws.preflight.check", look)
        recorder = AnyTarget()
        run_program(recorder, {f"dairflow:{key}": value for key, value in STACKS["aws"].items()})
        return {inputs["tag"] for inputs in recorder.of_type("images:DeployedImage").values()}

    assert not tags("x86_64") & tags("arm64")


def test_another_profile_signs_in_at_the_next_refresh() -> None:
    provider, props = images.EcrImageProvider(), {"tag": "t", "pushed_as": "p", "present": True}
    before, after = ({**props, "profile": name} for name in ("home", "work"))
    assert provider.diff("id", before, after).changes


def test_a_node_whose_engine_is_older_is_reported_and_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    provider, props = LocalMachineProvider(), {"hostname": "worker-1", "image": "node:today"}
    for same in (props, {"hostname": "worker-1"}, {**props, "image": ""}):
        assert not provider.diff("id", same, props).changes
    assert capsys.readouterr().out == ""
    assert not provider.diff("id", {**props, "image": "node:older"}, props).changes
    printed = capsys.readouterr().out
    assert printed.startswith(
        "worker-1: its engine is that of node:older; set-up has built node:today"
    )
    assert "`make update-nodes` makes the nodes again" in printed

"""A node's container as data: what it may do, and what it must not carry."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError

from infra.machines.node_container import create, create_options


def options(cgroup_version: str = "2") -> dict[str, Any]:
    return create_options(
        hostname="worker-1",
        network="dairflow-local",
        address="10.213.0.111",
        volume="dairflow-local-worker-1",
        ports={22: ("127.0.0.1", 2201), 8080: ("127.0.0.1", 8080)},
        labels={"dairflow.cluster": "id"},
        cgroup_version=cgroup_version,
    )


def test_a_node_is_not_privileged() -> None:
    host = options()["HostConfig"]
    assert not host.get("Privileged")
    assert host["CapDrop"] == ["SYS_RESOURCE"]


class Engine:
    """Refuses as an engine does, and keeps what it made."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal
        self.made: list[dict[str, Any]] = []
        self.api = self.containers = self

    def create_container_from_config(self, body: dict[str, Any], name: str) -> dict[str, str]:
        if body["HostConfig"]["CapDrop"]:
            message = "refused"
            raise APIError(message, explanation=self.refusal)
        self.made.append(body)
        return {"Id": name}

    def get(self, name: str) -> str:
        return name


NOT_AVAILABLE = (
    "invalid CapDrop: capability not supported by your kernel or not available in the current"
    ' environment: "CAP_SYS_RESOURCE"'
)


def test_an_engine_that_lacks_the_capability_itself_need_not_drop_it() -> None:
    engine: Any = Engine(NOT_AVAILABLE)
    assert create(engine, "worker-1", options()) == "worker-1"
    (made,) = engine.made
    assert made["HostConfig"] == {**options()["HostConfig"], "CapDrop": []}


def test_another_refusal_is_passed_on() -> None:
    engine: Any = Engine("no such image")
    with pytest.raises(APIError, match="no such image"):
        create(engine, "worker-1", options())
    assert engine.made == []


@pytest.mark.parametrize(("version", "namespace"), [("1", "host"), ("2", "private")])
def test_cgroups_of_either_version(version: str, namespace: str) -> None:
    host = options(version)["HostConfig"]
    assert host["CgroupnsMode"] == namespace
    shares_the_host_s = "/sys/fs/cgroup:/sys/fs/cgroup:rw" in host["Binds"]
    assert shares_the_host_s == (version == "1")


def test_the_engine_s_folder_is_a_named_volume_and_run_is_new_at_every_boot() -> None:
    host = options()["HostConfig"]
    assert "dairflow-local-worker-1:/var/lib/docker" in host["Binds"]
    assert set(host["Tmpfs"]) == {"/run"}


def test_ports_are_published_as_given_and_the_address_is_fixed() -> None:
    body = options()
    assert body["HostConfig"]["PortBindings"] == {
        "22/tcp": [{"HostIp": "127.0.0.1", "HostPort": "2201"}],
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
    }
    endpoint = body["NetworkingConfig"]["EndpointsConfig"]["dairflow-local"]
    assert endpoint["IPAMConfig"]["IPv4Address"] == "10.213.0.111"


def test_no_environment_and_no_arguments() -> None:
    assert not {"Env", "Cmd", "Entrypoint"} & options().keys()

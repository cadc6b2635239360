"""A node's container as data: what it may do, and what it must not carry."""

from __future__ import annotations

from typing import Any

import pytest

from infra.machines.node_container import create_options


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


def test_ports_are_published_where_said_and_the_address_is_fixed() -> None:
    body = options()
    assert body["HostConfig"]["PortBindings"] == {
        "22/tcp": [{"HostIp": "127.0.0.1", "HostPort": "2201"}],
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
    }
    endpoint = body["NetworkingConfig"]["EndpointsConfig"]["dairflow-local"]
    assert endpoint["IPAMConfig"]["IPv4Address"] == "10.213.0.111"


def test_no_environment_and_no_arguments() -> None:
    assert not {"Env", "Cmd", "Entrypoint"} & options().keys()

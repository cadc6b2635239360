"""Hosts that exist, with the real command line: from plain Debian to Airflow, and back.

The tests share three hosts and run from top to bottom.
"""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from plain_hosts import PASSWORD, PASSWORD_USER, USER, PlainHost, PlainHosts, build, differences
from project import Project, make_project

from infra.machines.existing.hosts import LEAVE_FILE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

STACK = "test-existing"
DAG = "cluster_check"
SSH_PORT = 2222


@dataclass(kw_only=True)
class Site:
    hosts: PlainHosts
    manager: PlainHost
    first: PlainHost
    second: PlainHost
    project: Project
    before: dict[str, dict[str, set[str]]]

    def by_name(self) -> dict[str, PlainHost]:
        return {"head": self.manager, "first": self.first, "second": self.second}

    def list_hosts(self, *names: str, **more: Any) -> None:
        """Write the settings as a user's editor would."""
        entries = {
            "head": {
                "address": self.manager.address,
                "role": "manager",
                "user": USER,
                "hostKey": self.manager.host_key,
                "privateKeyFile": "../operator",
            },
            "first": {
                "address": self.first.address,
                "role": "worker",
                "user": PASSWORD_USER,
                "hostKey": "accept-once",
            },
            "second": {
                "address": self.second.address,
                "role": "worker",
                "port": SSH_PORT,
                "hostKey": self.second.host_key,
                "privateKeyFile": "../operator",
                "labels": {"rack": "b7"},
            },
        }
        file = self.project.folder / f"Pulumi.{STACK}.yaml"
        settings = yaml.safe_load(file.read_text())
        settings["config"] |= {
            "dairflow:target": "existing",
            "dairflow:hosts": [{"name": name, **entries[name]} for name in names],
            **{f"dairflow:{key}": value for key, value in more.items()},
        }
        file.write_text(yaml.safe_dump(settings))
        path = f"hosts[{names.index('first')}].password"
        self.project.pulumi("config", "set", "--secret", "--path", path, PASSWORD)

    def changes(self, name: str) -> dict[str, set[str]]:
        """Return what is other than before on a host, without what is documented."""
        return differences(self.before[name], self.hosts.snapshot(self.by_name()[name]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    client = docker.from_env(timeout=300)
    folder = tmp_path_factory.mktemp("existing")
    hosts = PlainHosts(client=client, name=f"dairflow-{STACK}")
    hosts.close()
    build(client)
    project = make_project(folder, STACK, web_port=8080, flower_port=5555)
    (folder / "operator").write_text(hosts.operator.private)
    (folder / "operator").chmod(0o600)
    try:
        site = Site(
            hosts=hosts,
            manager=hosts.start("head"),
            first=hosts.start("first"),
            second=hosts.start("second", ssh_port=SSH_PORT),
            project=project,
            before={},
        )
        site.before = {name: hosts.snapshot(host) for name, host in site.by_name().items()}
        yield site
    finally:
        (Path(__file__).parents[2] / ".dairflow" / "e2e-existing.log").write_text(
            "\n".join(project.log)
        )
        hosts.close()
        client.close()


@contextlib.contextmanager
def silent(host: PlainHost) -> Iterator[None]:
    """Stop everything on a host for a while, as a kernel that hangs does."""
    host.container.pause()
    try:
        yield
    finally:
        host.container.unpause()


def test_the_hosts_are_plain(site: Site) -> None:
    for host in site.by_name().values():
        assert host.run("find / -xdev -name '*dairflow*'") == ""
        assert host.run("command -v docker nft || echo neither") == "neither\n"


def test_up_makes_a_cluster_of_them(site: Site) -> None:
    site.list_hosts("head", "first", "second", removeEngine=True)
    printed = site.project.up()
    fingerprint = site.first.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key").split()[1]
    assert f"first: showed the host key {fingerprint}, which is accepted once" in printed
    ready = site.project.on("head", "sudo docker node ls --format '{{.Hostname}} {{.Status}}'")
    assert sorted(ready.splitlines()) == ["first Ready", "head Ready", "second Ready"]
    labels = "sudo docker node inspect second --format '{{index .Spec.Labels \"rack\"}}'"
    assert site.project.on("head", labels) == "b7\n"


def test_the_outputs_are_those_of_the_hosts(site: Site) -> None:
    outputs = site.project.outputs()
    assert outputs["airflowUrl"] == f"http://{site.manager.address}:8080"
    assert [node["name"] for node in outputs["nodes"]] == ["head", "first", "second"]
    assert outputs["imageRef"].startswith(f"{site.manager.address}:5000/airflow@sha256:")
    *_, config, machine = shlex.split(outputs["managerSsh"])
    assert Path(config).name == "ssh_config"
    assert machine == "head"


def test_the_printed_commands_work_for_a_user_who_is_not_root(site: Site) -> None:
    command = site.project.outputs()["dockerContext"]
    try:
        ran = subprocess.run(
            command,
            shell=True,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
        assert "second" in ran.stdout
    finally:
        forget = ["docker", "context", "rm", "-f", f"dairflow-{STACK}"]
        subprocess.run(forget, check=False, capture_output=True)
        # The socket is in another folder when this one's path is too long for a socket's.
        words = shlex.split(command)
        pattern = f"-L {words[words.index('-L') + 1]}"
        found = subprocess.run(
            ["pgrep", "-f", "--", pattern], check=True, capture_output=True, text=True
        )
        os.kill(int(found.stdout), signal.SIGTERM)


def test_a_dag_runs_on_the_workers(site: Site) -> None:
    airflow = site.project.airflow()
    airflow.wait_for_dag(DAG, 120)
    run = airflow.trigger(DAG)
    assert airflow.wait_for_run(DAG, run, 300) == "success"
    assert {task.hostname for task in airflow.tasks(DAG, run)} <= {"first", "second"}


def test_a_second_up_changes_nothing_also_after_a_refresh(site: Site) -> None:
    site.project.expect_no_changes()
    site.project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    site.project.expect_no_changes()


def test_a_push_port_in_use_is_reported_and_a_refresh_takes_another(site: Site) -> None:
    port = _push_port(site)
    with socket.create_server(("127.0.0.1", port)):
        printed = site.project.pulumi("up", "--yes", "--skip-preview", check=False)
        assert f"port {port} of 127.0.0.1 cannot be used: Address already in use" in printed
        assert "Traceback" not in printed
        site.project.up("--refresh")
    assert _push_port(site) != port
    site.project.expect_no_changes()


def _push_port(site: Site) -> int:
    state = json.loads(site.project.pulumi("stack", "export"))
    resources = state["deployment"]["resources"]
    return next(int(r["outputs"]["port"]) for r in resources if r["type"].endswith(":PushPort"))


def test_no_secret_is_readable_in_the_state(site: Site) -> None:
    files = (site.project.folder.parent / "state").rglob("*.json")
    state = "".join(path.read_text() for path in files if path.is_file())
    assert site.manager.address in state
    assert PASSWORD not in state
    assert "PRIVATE KEY" not in state


def test_a_worker_that_does_not_answer_is_named_and_leaves_with_the_list(site: Site) -> None:
    """A change needs every host; one that is permanently lost is removed by a manager."""
    with silent(site.second):
        site.list_hosts("head", "first", "second", flowerPort=5556)
        printed = site.project.pulumi("up", "--yes", "--skip-preview", check=False)
        assert "No host was changed." in printed
        assert f"second (root@{site.second.address}:{SSH_PORT}): waited 20 s for SSH" in printed
        assert "remove it from `hosts` and run `pulumi up`" in printed
        site.list_hosts("head", "first", flowerPort=5555)
        printed = site.project.up()
        assert "second: does not answer within 20 s" in printed
        nodes = site.project.on("head", "sudo docker node ls --format '{{.Hostname}}'")
        assert sorted(nodes.split()) == ["first", "head"]


def test_a_host_that_was_left_behind_cleans_itself(site: Site) -> None:
    site.second.run(f"sh {LEAVE_FILE}")
    assert site.changes("second") == {}


def test_destroy_cleans_every_host_that_answers_and_names_the_other(site: Site) -> None:
    with silent(site.manager):
        printed = site.project.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert f"head (admin@{site.manager.address}:22): waited 20 s for SSH: " in printed
    assert "no manager can act" in printed
    assert "Not cleaned: head." in printed
    assert site.changes("first") == {}
    assert site.changes("head") != {}


def test_the_command_that_it_names_forgets_that_host(site: Site) -> None:
    """Then the state is put back, for the host's own sake."""
    site.project.pulumi("stack", "export", "--file", "../kept.json")
    printed = "\n".join(site.project.log)
    forget = printed.rpartition("`pulumi state delete ")[2].partition("`")[0]
    site.project.pulumi("state", "delete", *shlex.split(forget))
    site.project.pulumi("destroy", "--yes", "--skip-preview")
    site.project.pulumi("stack", "import", "--file", "../kept.json")


def test_destroy_cleans_that_host_when_it_is_back(site: Site) -> None:
    printed = site.project.pulumi("destroy", "--yes", "--skip-preview")
    assert "head: restored to its original state" in printed
    assert site.changes("head") == {}
    assert not (site.project.folder / ".dairflow" / "stacks" / STACK).exists()


def test_destroy_cleans_hosts_on_which_an_up_was_killed(site: Site) -> None:
    """The installation that it had begun goes on there; it must not come up afterwards."""
    site.list_hosts("head", "first", removeEngine=True)
    up = site.project.start("up", "--yes", "--skip-preview")
    assert up.stdout
    for line in up.stdout:
        if "installing Docker's engine" in line:
            break
    up.kill()
    up.communicate()
    site.project.pulumi("cancel", "--yes")
    site.project.pulumi("destroy", "--yes", "--skip-preview")
    assert site.changes("head") == {}
    assert site.changes("first") == {}

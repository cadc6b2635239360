"""A node as a machine: it reaps, stops in order, comes back, and leaves nothing on its host."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.node_memory import memory_of

if TYPE_CHECKING:
    from conftest import Lab

pytestmark = pytest.mark.integration

PROBE_IMAGE = "dairflow/probe:latest"


def test_a_node_s_life(own_lab: Lab, probe_image: bytes) -> None:
    machine = own_lab.machine("worker-1")
    own_lab.run(machine, "until docker info > /dev/null 2>&1; do sleep 0.1; done", timeout=30)
    own_lab.run(machine, f"docker import - {PROBE_IMAGE}", stdin=probe_image)
    ends_when_asked = "perl -e '$SIG{TERM} = sub { exit }; sleep 1 while 1'"
    own_lab.run(
        machine,
        f"docker run --detach --name inner --restart always {PROBE_IMAGE} {ends_when_asked}",
    )
    container = own_lab.container("worker-1")

    # Orphans: their parents end first, and process 1 has to collect them.
    own_lab.run(machine, "for i in 1 2 3; do (setsid sleep 0.1 &); done; sleep 0.5")
    assert own_lab.run(machine, "ps -eo stat= | grep -c Z || true").strip() == "0"

    # The engine's cgroups are below the node's own, so that what they use is its, and limits hold.
    before = memory_of([container])
    hold = "$held = q(x) x (64 << 20); mkdir q(/held); sleep 60"
    own_lab.run(machine, f"docker exec --detach inner perl -e '{hold}'")
    own_lab.run(machine, "until docker exec inner sh -c '[ -e /held ]'; do sleep 0.1; done")
    assert 64 * 2**20 <= memory_of([container]) - before <= 200 * 2**20
    pid = own_lab.run(machine, "docker inspect --format '{{.State.Pid}}' inner").strip()
    assert container.id is not None
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        memory = own_lab.run(machine, f"grep :memory: /proc/{pid}/cgroup")
        assert f"/{container.id}/engine/" in memory

    begun = time.monotonic()
    container.stop()
    seconds = time.monotonic() - begun
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    assert seconds < 10, "something in it had to be killed"

    container.start()
    own_lab.run(machine, "until docker info > /dev/null 2>&1; do sleep 0.1; done", timeout=30)
    running = own_lab.run(machine, "docker ps --format '{{.Names}}'")
    assert running == "inner\n"

    own_lab.remove("worker-1")
    left = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/docker/{container.id}")]
    assert left == []


def test_a_node_without_its_engine_ends_so_that_it_is_restarted(own_lab: Lab) -> None:
    machine = own_lab.machine("worker-1")
    own_lab.run(machine, "until docker info > /dev/null 2>&1; do sleep 0.1; done", timeout=30)
    container = own_lab.container("worker-1")
    own_lab.run(machine, "kill -KILL $(pidof dockerd)", check=False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        container.reload()
        if container.attrs["RestartCount"] == 1 and container.status == "running":
            break
        time.sleep(0.1)
    assert container.attrs["RestartCount"] == 1
    own_lab.run(machine, "until docker info > /dev/null 2>&1; do sleep 0.1; done", timeout=30)


def test_passwords_are_refused(own_lab: Lab) -> None:
    machine = own_lab.machine("worker-1")
    settings = own_lab.run(machine, "/usr/sbin/sshd -T").splitlines()
    assert "passwordauthentication no" in settings
    assert "kbdinteractiveauthentication no" in settings
    assert [line for line in settings if line.startswith("hostkey ")] == [
        "hostkey /etc/ssh/ssh_host_ed25519_key"
    ]

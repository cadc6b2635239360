"""How long three nodes take to be up and joined over SSH, against the bare commands.

The bare commands are the least that makes the same swarm: ``docker run`` three times with the
options of a node, then ``swarm init`` and two ``swarm join`` by ``docker exec``, as soon as each
engine answers; no SSH, no firewall, no labels, nothing verified. Ours is `node_container` and
`reconcile`. Both run here in turn, and the ratio of their medians is printed.

    python -m benchmarks bootstrap
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import NotFound
from docker.types import IPAMConfig, IPAMPool

from infra.firewall import Policy
from infra.images import project_images
from infra.machines import node_container
from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine
from infra.remote.pool import SshPool
from infra.swarm.cluster import Cluster
from infra.swarm.reconcile import reconcile

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = f"dairflow-bench-{os.getpid()}"
SUBNET = "10.215.0"
NODES = {"manager-1": 11, "worker-1": 111, "worker-2": 112}
ENGINE_SECONDS = 60


def main() -> None:
    """Print each round's seconds, and the ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    client = docker.from_env()
    bare, ours = list[float](), list[float]()
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=f"{SUBNET}.0/24")])
    network = client.networks.create(PREFIX, driver="bridge", ipam=ipam)
    try:
        for number in range(1, rounds + 1):
            bare.append(measured(client, bare_commands))
            ours.append(measured(client, lambda: over_ssh(client)))
            print(f"round {number}: bare {bare[-1]:.2f} s, over SSH {ours[-1]:.2f} s")
    finally:
        network.remove()
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"three nodes up and joined: bare {statistics.median(bare):.2f} s,"
        f" over SSH with firewall {statistics.median(ours):.2f} s, ratio {ratio:.2f}"
    )


def measured(client: docker.DockerClient, bring_up: Callable[[], None]) -> float:
    """Return how long it took, in seconds; what was made is removed again, untimed."""
    begun = time.perf_counter()
    try:
        bring_up()
        return time.perf_counter() - begun
    finally:
        for name in NODES:
            with contextlib.suppress(NotFound):
                client.containers.get(f"{PREFIX}-{name}").remove(force=True, v=True)
            with contextlib.suppress(NotFound):
                client.volumes.get(f"{PREFIX}-{name}").remove()


def bare_commands() -> None:
    """Run the commands that a person would type, side by side where that helps."""
    with ThreadPoolExecutor(len(NODES)) as threads:
        list(threads.map(run_node, NODES))
        in_node("manager-1", "docker", "swarm", "init", "--advertise-addr", f"{SUBNET}.11")
        token = in_node("manager-1", "docker", "swarm", "join-token", "-q", "worker")
        workers = [name for name in NODES if name != "manager-1"]
        join = ("docker", "swarm", "join", "--token", token, f"{SUBNET}.11:2377")
        list(threads.map(lambda name: in_node(name, *join), workers))


def run_node(name: str) -> None:
    """Start a node and wait for its engine."""
    options = node_container.create_options(
        hostname=name,
        network=PREFIX,
        address=f"{SUBNET}.{NODES[name]}",
        volume=f"{PREFIX}-{name}",
        ports={},
        labels={},
        cgroup_version="2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1",
    )
    host = options["HostConfig"]
    # The image starts sshd too, which refuses to start without a host key.
    start = (
        "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key"
        " && exec /bin/bash /usr/local/bin/node-entrypoint"
    )
    words = ["docker", "run", "--detach", "--name", f"{PREFIX}-{name}", "--hostname", name]
    words += ["--network", PREFIX, "--ip", f"{SUBNET}.{NODES[name]}"]
    words += ["--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--tmpfs", "/run:exec,mode=755"]
    words += ["--cgroupns", host["CgroupnsMode"], "--security-opt", "systempaths=unconfined"]
    for option in host["SecurityOpt"]:
        words += ["--security-opt", option]
    for bind in host["Binds"]:
        words += ["--volume", bind]
    command(*words, "--entrypoint", "/bin/sh", project_images.reference("node"), "-c", start)
    deadline = time.monotonic() + ENGINE_SECONDS
    while not answers(name):
        if time.monotonic() > deadline:
            message = f"the engine of {name} did not answer within {ENGINE_SECONDS} s"
            raise TimeoutError(message)
        time.sleep(0.05)


def answers(name: str) -> bool:
    """Tell whether the node's engine answers."""
    words = ["docker", "exec", f"{PREFIX}-{name}", "docker", "version"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def in_node(name: str, *words: str) -> str:
    """Run a command in a node."""
    return command("docker", "exec", f"{PREFIX}-{name}", *words)


def command(*words: str) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    return done.stdout.strip()


def over_ssh(client: docker.DockerClient) -> None:
    """Make the same swarm as the project does."""
    operator = generate_key_pair()

    def start(name: str) -> Machine:
        host_key = generate_key_pair()
        address = f"{SUBNET}.{NODES[name]}"
        node_container.start(
            client,
            name=f"{PREFIX}-{name}",
            hostname=name,
            network=PREFIX,
            address=address,
            volume=f"{PREFIX}-{name}",
            ports={},
            labels={},
            host_key=host_key.private,
            authorized_key=operator.public,
        )
        return Machine(
            name=name,
            role="manager" if name.startswith("manager") else "worker",
            address=address,
            host_key=host_key.public,
            private_address=address,
        )

    with ThreadPoolExecutor(len(NODES)) as threads:
        machines = tuple(threads.map(start, NODES))
    policy = Policy(operator_cidrs=(f"{SUBNET}.1/32",), client_cidrs=(f"{SUBNET}.1/32",))
    cluster = Cluster(name=PREFIX, machines=machines, firewall=policy)
    with SshPool(operator.private) as pool:
        reconcile(cluster, pool, lambda _line: None)


if __name__ == "__main__":
    main()

"""Task logs are copied to every manager, whatever is away meanwhile; with the image's own programs.

A sender acts as a worker, with its own volume. Each store acts as a manager.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker
    from docker.models.containers import Container

pytestmark = pytest.mark.integration

LOGS = "/opt/airflow/logs"
LOG = "dag_id=a/run_id=manual__2026-11-27T00:00:00+00:00/task_id=b c/attempt=1.log"
PASS_SECONDS = 1
COPIED_SECONDS = 30


class Nodes:
    """Containers on a network of their own, each with a volume for logs."""

    def __init__(self, client: docker.DockerClient, secrets: Path) -> None:
        self.client, self.secrets = client, secrets
        self.name = f"dairflow-test-{uuid.uuid4().hex[:8]}"
        self.network = client.networks.create(self.name)
        self.made: dict[str, Container] = {}

    def start(self, name: str, *command: str, volume: str = "", alias: str = "") -> Container:
        """Start a container; its volume outlives it."""
        image = os.environ.get("DAIRFLOW_AIRFLOW_IMAGE", project_images.reference("airflow"))
        container = self.client.containers.create(
            image,
            list(command),
            name=f"{self.name}-{name}",
            cap_drop=["ALL"],
            read_only=True,
            tmpfs={"/tmp": ""},  # noqa: S108 - the container's own
            environment={"LOG_PASS_SECONDS": str(PASS_SECONDS), "LOG_CHECK_SECONDS": "1"},
            volumes={
                f"{self.name}-{volume or name}": {"bind": LOGS},
                str(self.secrets): {"bind": "/run/secrets", "mode": "ro"},
            },
        )
        network: Any = self.client.networks.get(self.name)
        network.connect(container, aliases=[alias] if alias else [])
        container.start()
        self.made[name] = container
        return container

    def store(self, name: str) -> Container:
        return self.start(name, "log-store", alias="log-store")

    def sender(self, name: str = "sender", *, volume: str = "") -> Container:
        return self.start(name, "/opt/dairflow/task_logs.sh", "follow", volume=volume)

    def remove(self, name: str) -> None:
        self.made.pop(name).remove(force=True)

    def close(self) -> None:
        for container in self.made.values():
            container.remove(force=True, v=True)
        self.network.remove()
        for volume in self.client.volumes.list(filters={"name": self.name}):
            volume.remove()


@pytest.fixture
def nodes(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[Nodes]:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "api_secret_key").write_text("a key")
    nodes = Nodes(docker_client, secrets)
    yield nodes
    nodes.close()


def run(container: Container, *command: str, **options: Any) -> str:
    """Run a program with arguments, or one text as a script of the shell."""
    arguments = command if len(command) > 1 else ("bash", "-c", *command)
    ended: Any = container.exec_run(list(arguments), workdir=LOGS, **options)
    assert ended.exit_code == 0, ended.output.decode()
    return ended.output.decode()


def write(sender: Container, text: str, *, log: str = LOG) -> None:
    run(sender, f"mkdir -p '{Path(log).parent}' && printf '{text}\\n' >> '{log}'")


def copy(store: Container, log: str = LOG) -> str:
    return run(store, f"cat '{log}' 2>/dev/null || true")


def wait_for(condition: Callable[[], object], container: Container) -> None:
    deadline = time.monotonic() + COPIED_SECONDS
    while not condition():
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.3)


def test_every_manager_has_what_is_written_while_it_is_written(nodes: Nodes) -> None:
    stores = [nodes.store("manager-1"), nodes.store("manager-2")]
    sender = nodes.sender()
    for text in ("one\n", "one\ntwo\n"):
        write(sender, text.splitlines()[-1])
        for store in stores:
            wait_for(lambda on=store, text=text: copy(on) == text, sender)
    times = {run(node, f"stat -c %Y '{LOG}'") for node in (sender, *stores)}
    assert len(times) == 1, "a copy has the time of its log"


def test_a_manager_that_was_away_gets_what_it_lacks(nodes: Nodes) -> None:
    """Also one that comes back with another address, and a new one with an empty volume."""
    stays, leaves = nodes.store("manager-1"), nodes.store("manager-2")
    sender = nodes.sender()
    write(sender, "one")
    wait_for(lambda: copy(leaves) == "one\n", sender)
    nodes.remove("manager-2")
    write(sender, "two")
    wait_for(lambda: copy(stays) == "one\ntwo\n", sender)
    new, back = nodes.store("manager-3"), nodes.store("manager-2")
    wait_for(lambda: copy(back) == copy(new) == "one\ntwo\n", sender)


def test_what_a_killed_worker_wrote_is_sent_by_its_successor(nodes: Nodes) -> None:
    killed = nodes.sender()
    write(killed, "written while no manager was there")
    wait_for(lambda: b"not copied" in killed.logs(), killed)
    killed.kill()
    store = nodes.store("manager-1")
    successor = nodes.sender("successor", volume="sender")
    wait_for(lambda: "no manager" in copy(store), successor)


def test_a_worker_that_ends_waits_for_its_copies(nodes: Nodes) -> None:
    store = nodes.store("manager-1")
    wait_for(lambda: b"starting" in store.logs(), store)
    worker = nodes.start("worker", "sleep", "600")
    write(worker, "the last line")
    ends = "import sys; sys.path.append('/opt/dairflow'); import worker; worker.finish_logs()"
    run(worker, "python", "-c", ends, environment={"LOG_STORE": "log-store"})
    assert copy(store) == "the last line\n"


def test_a_volume_is_not_copied_to_itself(nodes: Nodes) -> None:
    """As that of a triggerer, on the manager that keeps the copies."""
    store = nodes.store("manager-1")
    triggerer = nodes.sender("triggerer", volume="manager-1")
    other = nodes.sender()
    for number in range(30):
        write(triggerer, f"line {number}")
    write(other, "of a worker", log="other.log")
    wait_for(lambda: copy(store, "other.log"), other)
    assert run(store, f"wc -l < '{LOG}'").strip() == "30"
    assert not run(triggerer, "ls .sent-* 2>/dev/null || true"), "nothing was sent"


def test_a_store_takes_logs_from_who_has_the_key_and_gives_none(nodes: Nodes) -> None:
    store = nodes.store("manager-1")
    write(store, "a secret of another task")
    sender = nodes.sender()
    write(sender, "of a worker", log="other.log")
    wait_for(lambda: copy(store, "other.log"), sender)
    function = """eval "$(sed -n '/^password()/,/^}/p' /opt/dairflow/task_logs.sh)"; """
    client = "rsync --password-file=- --recursive"
    address = "rsync://airflow@log-store:8730/logs"
    for password, arguments, refusal in (
        ("echo guessed", f"--list-only {address}/", "auth failed"),
        ("password", f"--list-only {address}/", "write only"),
        ("password", f"--links . {address}/", "links"),
        ("password", f"--delete . {address}/", "delete"),
    ):
        script = f"export SECRETS=/run/secrets; {function} {password} | {client} {arguments} 2>&1"
        assert refusal in run(sender, f"{script} || true")


def test_old_copies_are_removed_and_the_stores_identity_stays(nodes: Nodes) -> None:
    store = nodes.store("manager-1")
    wait_for(lambda: run(store, "cat .store-id 2>/dev/null || true"), store)
    identity = run(store, "cat .store-id")
    run(store, "touch -d '40 days ago' .store-id old.log; touch new.log")
    wait_for(lambda: "old.log" not in run(store, "ls"), store)
    assert run(store, "cat .store-id") == identity
    assert "new.log" in run(store, "ls")

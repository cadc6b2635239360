"""Redis while its password is rotated: both passwords first, then the new one alone."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ENTRYPOINT = Path(__file__).parents[2] / "images/redis/entrypoint.sh"
OLD, NEW = 'old "quoted" $1', "new'\\s"


class Redis:
    """A server with the project's image; each start is given passwords as secrets."""

    def __init__(self, folder: Path) -> None:
        self.secrets = folder
        self.name = f"dairflow-test-{uuid.uuid4().hex[:8]}"

    def start(self, **passwords: str) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], check=False, capture_output=True)
        mounts = [f"{ENTRYPOINT}:/opt/dairflow/entrypoint.sh:ro", f"{self.name}:/data"]
        for name, password in passwords.items():
            (self.secrets / name).write_text(password)
            mounts.append(f"{self.secrets / name}:/run/secrets/{name}:ro")
        volumes = [part for mount in mounts for part in ("--volume", mount)]
        image = os.environ.get("DAIRFLOW_REDIS_IMAGE", project_images.reference("redis"))
        command = ["docker", "run", "--detach", "--name", self.name, *volumes, image]
        subprocess.run(command, check=True, capture_output=True)
        deadline = time.monotonic() + 30
        while "NOAUTH" not in self.ask("", "PING"):
            assert time.monotonic() < deadline, self.ask("", "PING")

    def ask(self, password: str, *command: str) -> str:
        done = subprocess.run(
            ["docker", "exec", "--env", "REDISCLI_AUTH", self.name, "redis-cli", *command],
            env={**os.environ, "REDISCLI_AUTH": password},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], check=True, capture_output=True)
        subprocess.run(["docker", "volume", "rm", self.name], check=True, capture_output=True)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    redis = Redis(tmp_path)
    yield redis
    redis.remove()


def test_the_old_password_is_accepted_until_the_rotation_ends(redis: Redis) -> None:
    redis.start(redis_password=OLD)
    assert "OK" in redis.ask(OLD, "SET", "waiting", "task")

    redis.start(redis_password=NEW, redis_password_previous=OLD)
    assert "task" in redis.ask(OLD, "GET", "waiting")
    assert "task" in redis.ask(NEW, "GET", "waiting")

    redis.start(redis_password=NEW)
    assert "task" in redis.ask(NEW, "GET", "waiting")
    assert "WRONGPASS" in redis.ask(OLD, "GET", "waiting")

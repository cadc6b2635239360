"""Images of a clone that was made under umask 077: the containers' own users read their files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BUILD_TIMEOUT_SECONDS = 600
CLOSED = """
find "$@" '(' -type f -not -perm -o=r -o -type d -not -perm -o=rx ')' -print
find "$@" -path '/opt/dairflow/*.sh' -not -perm -o=rx -print
"""
FOLDERS = {
    "airflow": ("/opt/dairflow", "/opt/airflow"),
    "postgres": ("/opt/dairflow",),
    "redis": ("/opt/dairflow",),
    "web": ("/opt/dairflow", "/etc/caddy"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the images are made from, closed to every other user."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / ".dockerignore", folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("images", "dags", "dag_builder"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    return folder


@pytest.fixture(params=FOLDERS)
def image(
    request: pytest.FixtureRequest, clone: Path, docker_client: docker.DockerClient, test_mark: str
) -> Iterator[tuple[str, str]]:
    """An image of the copy: what it is, and its name."""
    kind = request.param
    name = f"dairflow-test/{kind}:{test_mark}"
    folder = clone / "images" / kind
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.build_image", "--tag", name),
            *("--build-arg", f"BASE_IMAGE={project_images.reference('base')}"),
            *(f"--build-arg={argument}" for argument in ("CONDA_CHANNELS", "PIP_INDEX_URL")),
            *("--file", str(folder / "Dockerfile"), str(clone if kind == "airflow" else folder)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield kind, name
    docker_client.images.remove(name)


def test_other_users_read_every_file(
    image: tuple[str, str], docker_client: docker.DockerClient
) -> None:
    kind, name = image
    printed = docker_client.containers.run(
        name, ["-c", CLOSED, "sh", *FOLDERS[kind]], entrypoint="sh", user="0", remove=True
    )
    assert printed.decode().split() == []

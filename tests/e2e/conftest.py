"""The cluster that the end-to-end tests share."""

from collections.abc import Iterator

import docker
import pytest
from project import FLOWER_PORT, STACK, WEB_PORT, Project, inventory, make_project


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def before(engine: docker.DockerClient) -> dict[str, set[str]]:
    """What this machine's Docker had before the cluster."""
    return inventory(engine)


@pytest.fixture(scope="session")
def project(
    before: dict[str, set[str]],  # noqa: ARG001 - must be recorded first
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """The cluster that the tests of this folder share; destroyed at the end whatever happens."""
    folder = tmp_path_factory.mktemp("e2e")
    project = make_project(folder, STACK, web_port=WEB_PORT, flower_port=FLOWER_PORT)
    yield project
    project.clean_up()
    project.save_log("e2e.log")

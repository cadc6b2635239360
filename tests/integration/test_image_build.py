"""A build before the push: the reason of a failure, and no name on the engine."""

from pathlib import Path

import docker
import pytest

from infra.images import build as image_build
from infra.images import project_images
from infra.images.build import ImageBuildError, Recipe

pytestmark = pytest.mark.integration


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(image_build, "ROOT", tmp_path)
    base = project_images.reference("base")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base}\nRUN true\nRUN echo the reason >&2 && exit 3\n"
    )
    return Recipe(
        name="buildtest",
        context=".",
        dockerfile="Dockerfile",
        arguments={},
        platform="linux/amd64",
    )


def test_a_failed_build_has_its_reason_and_its_log(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError) as caught:
        image_build.build(recipe, logs=tmp_path)
    message = str(caught.value)
    assert "failed at step [3/3] RUN echo the reason" in message
    assert "| the reason" in message
    log = tmp_path / "build-buildtest.log"
    assert str(log) in message
    assert "[3/3] the reason" in log.read_text()


def test_a_build_leaves_no_name_on_the_engine(
    recipe: Recipe, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {project_images.reference('base')}\nRUN true\n")
    image_build.build(recipe, logs=tmp_path)
    tags = {tag for image in docker_client.images.list() for tag in image.tags}
    assert not [tag for tag in tags if "buildtest" in tag]

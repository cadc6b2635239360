"""The names of set-up's images: one set for each clone, none of which moves another's."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools import image_names
from tools.images import ProjectImage
from tools.paths import Paths

MakeProgram = Callable[..., Path]
DOCKER = """
case "$1 $2" in
    "image inspect") grep -qx "$3" {names} ;;
    "image ls") cat {names} ;;
    "image rm") grep -vx "$3" {names} > {names}.left; mv {names}.left {names} ;;
esac
"""
BUILD = """#!/bin/sh
while [ "$1" != --tag ]; do shift; done
echo "$2" >> {names}
echo built >> {names}.builds
"""


@pytest.fixture
def names(tmp_path: Path, programs: MakeProgram) -> Path:
    """The engine's image names, a line each."""
    file = tmp_path / "names"
    file.write_text("")
    programs("docker", DOCKER.format(names=file))
    return file


def clone(paths: Paths, name: str, names: Path, *, content: str) -> Paths:
    repository = paths.repository.with_name(name)
    (repository / "images" / "node").mkdir(parents=True)
    (repository / "images" / "node" / "Dockerfile").write_text(content)
    made = replace(paths, repository=repository)
    made.python.parent.mkdir(parents=True)
    made.python.write_text(BUILD.format(names=names))
    made.python.chmod(0o755)
    return made


def set_up(paths: Paths) -> str:
    image = ProjectImage(paths=paths, image="node", say=print)
    if image.check() is None:
        image.install()
    image_names.remove_unused(paths)
    assert image.check() == image.reference
    return image.reference


def test_clones_of_other_contents_leave_each_others_names_alone(paths: Paths, names: Path) -> None:
    one = clone(paths, "one", names, content="FROM a\n")
    two = clone(paths, "two", names, content="FROM b\n")
    first, second = set_up(one), set_up(two)
    assert first != second
    assert set_up(one) == first
    assert names.read_text().split() == [first, second]
    assert names.with_name("names.builds").read_text().count("built") == 2


def test_a_clone_of_the_same_content_builds_nothing(paths: Paths, names: Path) -> None:
    first = set_up(clone(paths, "one", names, content="FROM a\n"))
    assert set_up(clone(paths, "two", names, content="FROM a\n")) == first
    assert names.with_name("names.builds").read_text().count("built") == 1


def test_another_base_is_another_content(paths: Paths, names: Path) -> None:
    one = clone(paths, "one", names, content="FROM a\n")
    before = set_up(one)
    image_names.record(one, "base", "dairflow/base:0123456789abcdef-20261127120000")
    assert set_up(one) != before


def test_names_that_no_clone_uses_go_and_others_stay(paths: Paths, names: Path) -> None:
    one = clone(paths, "one", names, content="FROM a\n")
    other = "dairflow/airflow:trixie\nsomebody/node:0123456789abcdef\n"
    names.write_text(other)
    old = set_up(one)
    (one.repository / "images" / "node" / "Dockerfile").write_text("FROM changed\n")
    new = set_up(one)
    assert names.read_text() == f"{other}{new}\n"
    assert old != new


def test_compose_reads_the_names_and_a_users_own_lines_stay(paths: Paths) -> None:
    (paths.repository / ".env").write_text("DAIRFLOW_WEB_PORT=9999\nDAIRFLOW_REDIS_IMAGE=old\n")
    image_names.record(paths, "redis", "dairflow/redis:0123456789abcdef")
    image_names.record(paths, "node", "dairflow/node:0123456789abcdef")
    assert (paths.repository / ".env").read_text() == (
        "DAIRFLOW_WEB_PORT=9999\nDAIRFLOW_REDIS_IMAGE=dairflow/redis:0123456789abcdef\n"
    )


def test_the_program_reads_what_set_up_wrote(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from infra.images import project_images

    record = paths.repository / ".dairflow" / project_images.RECORD.name
    monkeypatch.setattr(project_images, "RECORD", record)
    assert project_images.reference("node") == "dairflow/node:not-set-up"
    assert project_images.base() is None
    image_names.record(paths, "node", "dairflow/node:1")
    image_names.record(paths, "base", "dairflow/base:2")
    assert project_images.reference("node") == "dairflow/node:1"
    assert project_images.base() == "dairflow/base:2"
    assert json.loads(record.read_text()) == {"node": "dairflow/node:1", "base": "dairflow/base:2"}


def test_no_other_file_names_an_image_by_hand() -> None:
    """A name without its content would be another clone's, or an earlier release's."""
    root = Path(__file__).parents[3]
    from tools.images import NAMES

    allowed = {Path(__file__)}
    for folder in ("infra", "tools", "tests", "benchmarks"):
        for file in (root / folder).rglob("*.py"):
            text = "" if file in allowed else file.read_text()
            for name in NAMES:
                assert f"dairflow/{name}:trixie" not in text, file

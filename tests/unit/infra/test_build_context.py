"""The tag of a build: the same content gives the same tag, any other content another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.build_context import (
    TAG_LENGTH,
    BuildArgumentError,
    arguments,
    refuse_passwords,
    tag,
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text("a = 1\n")
    (tmp_path / ".dockerignore").write_text("# notes\n*.log\nsecret\n")
    return tmp_path


def test_it_is_stable(context: Path) -> None:
    first = tag(context, context / "Dockerfile", {})
    (context / "dags" / "a.py").touch()
    assert tag(context, context / "Dockerfile", {}) == first
    assert len(first) == TAG_LENGTH


def test_an_ignored_file_changes_nothing(context: Path) -> None:
    first = tag(context, context / "Dockerfile", {})
    (context / "build.log").write_text("noise")
    (context / "secret").mkdir()
    (context / "secret" / "key").write_text("noise")
    assert tag(context, context / "Dockerfile", {}) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda c: (c / "dags" / "a.py").write_text("a = 2\n"),
        lambda c: (c / "dags" / "b.py").write_text("a = 1\n"),
        lambda c: (c / "dags" / "a.py").rename(c / "dags" / "c.py"),
        lambda c: (c / "dags" / "a.py").unlink(),
        lambda c: (c / "dags" / "a.py").chmod(0o755),
        lambda c: (c / "Dockerfile").write_text("FROM scratch\n"),
        lambda c: (c / "link").symlink_to("dags"),
    ],
)
def test_any_other_change_gives_another_tag(
    context: Path, change: Callable[[Path], object]
) -> None:
    first = tag(context, context / "Dockerfile", {})
    change(context)
    assert tag(context, context / "Dockerfile", {}) != first


def test_an_argument_counts(context: Path) -> None:
    dockerfile = context / "Dockerfile"
    assert tag(context, dockerfile, {"A": "1"}) != tag(context, dockerfile, {"A": "2"})


def test_only_what_the_dockerfile_takes_and_somebody_set_is_given(context: Path) -> None:
    dockerfile = context / "Dockerfile"
    environment = {"CONDA_CHANNELS": "ours", "PIP_INDEX_URL": "", "HOME": "/root"}
    assert arguments(dockerfile, environment) == {}
    dockerfile.write_text("FROM scratch\nARG CONDA_CHANNELS=\nARG PIP_INDEX_URL=\nARG HOME\n")
    assert arguments(dockerfile, environment) == {"CONDA_CHANNELS": "ours"}


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    refuse_passwords({"PIP_INDEX_URL": "https://pypi.example.com/simple"})
    with pytest.raises(BuildArgumentError, match="PIP_INDEX_URL: the address holds") as refusal:
        refuse_passwords({"PIP_INDEX_URL": "https://me:hunter2@pypi.example.com/simple"})
    assert "hunter2" not in str(refusal.value)

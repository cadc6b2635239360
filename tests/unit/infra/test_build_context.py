"""The tag of a build: the same content gives the same tag, any other content another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.build_context import (
    TAG_LENGTH,
    BuildArgumentError,
    arguments,
    refuse_credentials,
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


@pytest.mark.parametrize(
    "address",
    [
        "https://pypi.example.com/simple",
        "https://pypi.example.com:8443/root/pypi/+simple/",
        "https://feeds.example.com/org/0f8fad5b-d9cb-469f-a165-70867728950e/_packaging/feed/simple",
        "conda-forge,https://conda.example.com/our-channel-2026",
        "none",
    ],
)
def test_an_address_without_credentials_is_taken(address: str) -> None:
    refuse_credentials({"PIP_INDEX_URL": address, "CONDA_CHANNELS": address})


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "CONDA_CHANNELS"])
@pytest.mark.parametrize(
    ("address", "secret", "what"),
    [
        ("https://me:hunter2@pypi.example.com/simple", "hunter2", "a user name or password"),
        ("https://hunter2@pypi.example.com/simple", "hunter2", "a user name or password"),
        ("https://conda.example.com/t/ab-12/ours", "ab-12", "a possible token in its path"),
        ("conda-forge,https://c.example/t/x1/ours", "x1", "a possible token in its path"),
        (
            "https://p.example/Zm9vYmFyYmF6cXV4MTIzNA/simple",
            "Zm9vYmFyYmF6cXV4MTIzNA",
            "a possible token in its path",
        ),
        ("https://pypi.example.com/simple?token=hunter2", "hunter2", "a query"),
        ("https://pypi.example.com/simple#hunter2", "hunter2", "a query"),
    ],
)
def test_an_address_with_credentials_is_refused_without_showing_them(
    name: str, address: str, secret: str, what: str
) -> None:
    with pytest.raises(
        BuildArgumentError, match=f"{name}: the address contains.*{what}"
    ) as refusal:
        refuse_credentials({name: address})
    assert secret not in str(refusal.value)

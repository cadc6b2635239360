"""The tag of a build: the same content gives the same tag, any other content another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infra.images.build_context import (
    REQUIREMENTS,
    TAG_LENGTH,
    BuildArgumentError,
    arguments,
    refuse_credentials,
    refuse_credentials_in_files,
    tag,
)
from infra.project import ROOT


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
        "ours/label/dev,conda-forge/label/python3.13_rc",
        "https://gitlab.example.com/api/v4/projects/12345678/packages/pypi/simple",
        "https://pkgs.example.com/MyOrg/MyProject/_packaging/MyFeed/pypi/simple/",
        "https://example.com/artifactory/api/pypi/pypi-virtual-release/simple",
        "https://europe-python.example.com/my-project-123456/my_repository/simple/",
        "file:///srv/conda/linux-64",
    ],
)
def test_an_address_without_credentials_is_taken(address: str) -> None:
    refuse_credentials({"PIP_INDEX_URL": address, "CONDA_CHANNELS": address})


TOKEN = "token in its path"


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
        ("https://dl.example.io/lHlvIvPZDCKOLJ0d/org/python/simple/", "lHlvIvPZDCKOLJ0d", TOKEN),
        ("https://r.example.io/abcdefghijklmnopqrstuvwxyz/me/", "abcdefghijklmnopqrst", TOKEN),
        ("https://p.example/0f8fad5b-d9cb-469f-a165-70867728950e/simple", "0f8fad5b", TOKEN),
        ("https://conda.example.com/T/ab-12/ours", "ab-12", TOKEN),
        ("https://conda.example.com/%74/x/ours", "%74", TOKEN),
        ("https://p.example/%6c%48lvIvPZ/simple", "lvIvPZ", TOKEN),
        ("https:/me:hunter2@pypi.example.com/simple", "hunter2", TOKEN),
        ("https://[pypi.example.com/hunter2", "hunter2", "brackets"),
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


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("--extra-index-url https://t0ken@pypi.example.com/simple", "t0ken"),
        ("--extra-index-url=https://pypi.example.com/lHlvIvPZDCKOLJ0d/simple", "lHlvIvPZDCKOLJ0d"),
        ("-i https://pypi.example.com/simple?token=hunter2", "hunter2"),
        ("ours @ https://me:hunter2@files.example.com/ours-1.0-py3-none-any.whl", "hunter2"),
        ("ours @ git+https://ghp_hunter2@example.com/org/ours.git@v1", "hunter2"),
        ("ours @ https://files.example.com/lHlvIvPZDCKOLJ0d/ours-1.0.tar.gz", "lHlvIvPZDCKOLJ0d"),
        ("ours @ https://files.example.com/ours-1.0.tar.gz?X-Signature=hunter2", "hunter2"),
        ("https://conda.example.com/t/hunter2/ours::package", "hunter2"),
    ],
)
def test_a_requirement_with_credentials_is_refused_without_showing_them(
    tmp_path: Path, line: str, secret: str
) -> None:
    for name in ("pip_requirements.txt", "conda_requirements.txt"):
        (tmp_path / name).write_text(f"# packages\n{line}\n")
        message = f"^{name}:2: the address contains .*An index that needs a token"
        with pytest.raises(BuildArgumentError, match=message) as refusal:
            refuse_credentials_in_files(tmp_path)
        assert secret not in str(refusal.value)
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    "line",
    [
        "apache-airflow[celery]>=3.3 ; python_version > '3.11'",
        "# https://me:hunter2@pypi.example.com/simple",
        "--extra-index-url https://pypi.example.com/simple  # not https://me:x@example.com",
        f"ours @ https://files.example.com/packages/2a/b1/{'0a' * 30}/ours-1.0-py3-none-any.whl",
        f"ours @ https://files.example.com/ours-1.0.zip#sha256={'0a' * 32}",
        "ours @ git+https://example.com/org/ours.git@0123456789abcdef0123456789abcdef01234567",
        "ours @ git+ssh://git@example.com/org/ours.git#subdirectory=python",
        "https://conda.example.com/ours::package",
    ],
)
def test_a_requirement_without_credentials_is_taken(tmp_path: Path, line: str) -> None:
    (tmp_path / "pip_requirements.txt").write_text(f"{line}\n")
    refuse_credentials_in_files(tmp_path)


def test_the_projects_own_requirements_are_taken() -> None:
    assert all((ROOT / "images/airflow" / name).exists() for name in REQUIREMENTS)
    refuse_credentials_in_files(ROOT / "images/airflow")

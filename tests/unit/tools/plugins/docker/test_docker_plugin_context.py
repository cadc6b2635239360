"""The build context: what is in it, what changes its digest, and what is sent."""

import io
import os
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from docker_stand_in.context import BuildContext


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    root = tmp_path / "context"
    for name in ("Dockerfile", "a.txt", "logs/x.log", "dags/one.py", "dags/__pycache__/one.pyc"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return BuildContext(root=root, dockerfile=root / "Dockerfile")


def archived(context: BuildContext) -> dict[str, tarfile.TarInfo]:
    content = io.BytesIO()
    context.archive(content)
    content.seek(0)
    with tarfile.open(fileobj=content) as tar:
        return {member.name: member for member in tar}


@pytest.mark.parametrize(
    ("patterns", "kept", "left_out"),
    [
        ("", {"a.txt", "logs/x.log", "dags/__pycache__/one.pyc"}, set()),
        ("# a comment\n\n*.txt\n", {"logs/x.log"}, {"a.txt"}),
        ("logs\n", {"a.txt"}, {"logs", "logs/x.log"}),
        ("logs/\n", {"a.txt"}, {"logs", "logs/x.log"}),
        ("/logs\n", {"a.txt"}, {"logs/x.log"}),
        ("*.log\n", {"logs/x.log"}, set()),
        ("**/*.log\n", {"a.txt"}, {"logs/x.log"}),
        ("**/__pycache__\n", {"dags/one.py"}, {"dags/__pycache__", "dags/__pycache__/one.pyc"}),
        ("*\n!dags\n", {"dags/one.py"}, {"a.txt", "logs/x.log"}),
        ("*\n!dags\n**/__pycache__\n", {"dags/one.py"}, {"a.txt", "dags/__pycache__/one.pyc"}),
        ("Dockerfile\n.dockerignore\n", {"Dockerfile", ".dockerignore"}, set()),
        ("logs/*\n!logs/x.log\n", {"logs/x.log"}, set()),
        ("?.txt\n", {"dags/one.py"}, {"a.txt"}),
    ],
)
def test_ignored_files_are_neither_sent_nor_digested(
    context: BuildContext, patterns: str, kept: set[str], left_out: set[str]
) -> None:
    (context.root / ".dockerignore").write_text(patterns)
    sent = archived(context).keys()
    assert kept <= sent
    assert not left_out & sent
    before = context.digest()
    for name in left_out:
        if (context.root / name).is_file():
            (context.root / name).write_text("changed")
    assert context.digest() == before


def test_the_dockerfiles_own_ignore_file_takes_precedence(context: BuildContext) -> None:
    (context.root / ".dockerignore").write_text("a.txt\n")
    (context.root / "Dockerfile.dockerignore").write_text("logs\n")
    assert "a.txt" in archived(context)
    assert "logs/x.log" not in archived(context)


def _edit(root: Path) -> None:
    (root / "a.txt").write_text("b")


def _add(root: Path) -> None:
    (root / "new.txt").touch()


def _remove(root: Path) -> None:
    (root / "a.txt").unlink()


def _rename(root: Path) -> None:
    (root / "a.txt").rename(root / "b.txt")


def _make_executable(root: Path) -> None:
    (root / "a.txt").chmod(0o755)


def _edit_dockerfile(root: Path) -> None:
    (root / "Dockerfile").write_text("FROM other")


def _link(root: Path) -> None:
    (root / "a.txt").unlink()
    (root / "a.txt").symlink_to("logs/x.log")


@pytest.mark.parametrize(
    "change", [_edit, _add, _remove, _rename, _make_executable, _edit_dockerfile, _link]
)
def test_every_change_of_a_file_changes_the_digest(
    context: BuildContext, change: Callable[[Path], None]
) -> None:
    before = context.digest()
    change(context.root)
    assert context.digest() != before


def test_nothing_else_changes_the_digest(context: BuildContext) -> None:
    before = context.digest()
    os.utime(context.root / "a.txt", (0, 0))
    (context.root / "empty").mkdir()
    (context.root / "dags").chmod(0o700)
    moved = context.root.rename(context.root.with_name("elsewhere"))
    assert BuildContext(root=moved, dockerfile=moved / "Dockerfile").digest() == before


def test_a_dangling_link_counts_by_the_path_that_it_names(context: BuildContext) -> None:
    (context.root / "link").symlink_to("nowhere")
    before = context.digest()
    (context.root / "link").unlink()
    (context.root / "link").symlink_to("nowhere-else")
    assert context.digest() != before


def test_the_digest_is_that_of_the_official_recipe(tmp_path: Path) -> None:
    """Spelt out here from pulumi-docker's ``hashContext``, for one small context."""

    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "Dockerfile").chmod(0o644)
    (tmp_path / "run").write_text("x")
    (tmp_path / "run").chmod(0o755)
    dockerfile = sha256(b"FROM scratch\n").digest()
    expected = sha256(
        b"Dockerfile----------" + dockerfile + b"\0"
        b"Dockerfile-rw-r--r--" + dockerfile + b"\0"
        b"run-rwxr-xr-x" + sha256(b"x").digest() + b"\0"
    ).hexdigest()
    assert BuildContext(root=tmp_path, dockerfile=tmp_path / "Dockerfile").digest() == expected


def test_a_dockerfile_outside_of_the_context_is_sent_along(
    context: BuildContext, tmp_path: Path
) -> None:
    (tmp_path / "other.Dockerfile").write_text("FROM scratch")
    outside = BuildContext(root=context.root, dockerfile=tmp_path / "other.Dockerfile")
    assert outside.relative_dockerfile == "../other.Dockerfile"
    assert archived(outside)[outside.archived_dockerfile].size == len("FROM scratch")


def test_everything_is_sent_as_roots_and_hard_links_as_files(context: BuildContext) -> None:
    os.link(context.root / "a.txt", context.root / "z.txt")
    members = archived(context)
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}
    assert members["z.txt"].isreg()
    assert members["z.txt"].size == len("a.txt")


@pytest.mark.parametrize("ignored", ["*\n!dags\n", "Dockerfile\n.dockerignore\n"])
def test_what_is_sent_although_it_is_ignored_is_not_digested(
    context: BuildContext, ignored: str
) -> None:
    """Pulumi-docker's ``hashContext`` walks with the user's patterns alone."""
    file = context.root / ".dockerignore"
    file.write_text(ignored)
    before = context.digest()
    file.write_text(f"# a comment\n{ignored}")
    assert context.digest() == before
    assert ".dockerignore" in archived(context)

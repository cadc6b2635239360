"""The check of the project's prose, and the prose of the project."""

from __future__ import annotations

import re

import pytest

from tools import prose


def test_the_projects_prose_is_plain() -> None:
    found = [
        str(finding)
        for path in prose.checked(prose.tracked_files())
        for finding in prose.findings(path, (prose.ROOT / path).read_text("utf-8"))
    ]
    assert found == []


def test_every_file_that_is_left_out_exists() -> None:
    assert set(prose.NOT_PROSE) <= set(prose.tracked_files())


@pytest.mark.parametrize(
    "text",
    [
        "What speaks against a host is told at once.",
        "this is no schedule",
        "the file is to be removed",
        "`grep` tells why",
        "It stands for a task.",
        "empty where there is none",
        "whoever answers",
    ],
)
def test_each_kind_of_text_is_read(text: str) -> None:
    words = re.findall(r"\w+", text)
    kinds = {
        "a.md": f"# Title\n\n{text}\n",
        "a.py": f'"""Title.\n\n{text}\n"""\n',
        "b.py": f'message = f"{text} {{name}}"\n',
        "c.py": f"x = 1  # {text}\n",
        "d.py": f"def test_{'_'.join(words)}() -> None: ...\n",
        "a.sh": f"echo '{text}'\n",
    }
    for path, content in kinds.items():
        assert prose.findings(path, content), path


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.md", "```\nthis is no prose\n```\n"),
        ("a.md", "Run `said --told`.\n"),
        ("a.py", "said = told\n"),
        ("a.py", "def make_stand_in() -> None: ...\n"),
        ("a.md", "There is no release yet. It is no longer used.\n"),
    ],
)
def test_code_and_usual_english_pass(path: str, text: str) -> None:
    assert prose.findings(path, text) == []


def test_a_finding_names_its_line_and_a_replacement() -> None:
    (found,) = prose.findings("docs/x.md", "One.\nIt is told.\n")
    assert str(found).startswith("docs/x.md:2: 'told'; write 'reports'")

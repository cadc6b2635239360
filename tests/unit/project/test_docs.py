"""Every link of a page leads to a page, a heading or a file that exists."""

from __future__ import annotations

import functools
import itertools
import re
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tools import docs_site

ROOT = Path(__file__).parents[3]


def files(pattern: str) -> list[str]:
    """Return the repository's files that match a pattern, with those that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


PAGES = files("*.md")


def links_of(page: Path) -> list[str]:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text("utf-8"))
    children = [child for token in tokens for child in token.children or []]
    targets = [child.attrGet("href") or child.attrGet("src") for child in children]
    return [str(target) for target in targets if target and ":" not in str(target)]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub and the site give a page's headings."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text("utf-8"))
    titles = [
        re.sub(r"[`*]", "", following.content)
        for token, following in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("name", PAGES)
def test_no_link_of_a_page_is_dead(name: str) -> None:
    assert dead_links(ROOT / name) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `title`\n\n[a](gone.md) [b](#a-title) [c](#other) ![d](gone.png)\n")
    assert dead_links(page) == ["gone.md", "#other", "gone.png"]


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = ROOT / "docs" / "adr"
    pages = {page.name for page in folder.glob("0*.md")}
    assert set(links_of(folder / "README.md")) == pages


def test_links_of_the_site_lead_to_the_pages_places() -> None:
    text = "[a](docs/aws.md#x) [b](SECURITY.md) [c](infra/firewall.py) [d](#e) [f](https://g)"
    assert docs_site.with_site_links(text, "README.md") == (
        "[a](aws.md#x) [b](SECURITY.md) [c](source/infra/firewall.py) [d](#e) [f](https://g)"
    )
    assert docs_site.with_site_links("[a](../../README.md)", "docs/adr/0001.md") == (
        "[a](../index.md)"
    )


def test_the_paths_that_the_guide_for_contributors_names_exist() -> None:
    """A path has a slash and no placeholder; `infra/` and the like are folders."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", text)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists() and "NAME" not in path] == []


@functools.cache
def known_tests() -> frozenset[str]:
    """Return the paths of test files, and the names of these files and of their functions."""
    paths = files("tests/*.py")
    functions = (
        re.findall(r"^def (test_\w+)", (ROOT / path).read_text("utf-8"), re.MULTILINE)
        for path in paths
    )
    names = (Path(path).name for path in paths)
    return frozenset(itertools.chain(paths, names, *functions))


def unknown_tests(text: str) -> list[str]:
    """Return the paths and names of tests in a text that do not exist."""
    named = re.findall(r"`((?:[\w./]*/)?test_\w+(?:\.py)?)(?:::(test_\w+))?`", text)
    return [name for names in named for name in names if name and name not in known_tests()]


@pytest.mark.parametrize("name", PAGES)
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    assert unknown_tests((ROOT / name).read_text("utf-8")) == []


def test_the_test_files_that_other_files_name_exist() -> None:
    """In comments, docstrings and configuration, by their path."""
    command = ["git", "grep", "--untracked", "-hoE", r"\btests/[[:alnum:]_/]+\.py"]
    done = subprocess.run(
        [*command, "--", f":!{Path(__file__).relative_to(ROOT)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    named = set(done.stdout.split())
    assert {"tests/unit/resources/test_tokens.py", "tests/unit/settings/test_settings.py"} < named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_a_test_that_does_not_exist_is_found() -> None:
    text = "`tests/unit/test_docs.py` `test_gone` `test_docs.py::test_lost` `test_docs.py`"
    assert unknown_tests(text) == ["tests/unit/test_docs.py", "test_gone", "test_lost"]

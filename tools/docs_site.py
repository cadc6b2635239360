"""MkDocs hook that adds to the site what is outside `docs/`, and points links there.

Pages are written for a reader of the repository: their links are paths of files. On the site,
README.md is the first page, its neighbours are pages beside it, and each source file that a page
links to is a download under `source/`. MkDocs calls the two functions whose names begin with `on_`
(mkdocs.org, "Hooks").
"""

from __future__ import annotations

import importlib
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = "docs"
SOURCE = "source"
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
}
"""The pages outside `docs/`, and their places on the site."""

_TABLE_TAG = re.compile(r"<(table|tr|td)>")
_NAMED_FENCE = re.compile(r"^(```\w+) \w+$", re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(?=[)#])")


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401 - MkDocs is not in the environment that checks types
    """Add the pages outside `docs/`, and every file that a page links to."""
    file: Any = importlib.import_module("mkdocs.structure.files").File
    for name, place in ROOT_PAGES.items():
        files.append(file.generated(config, place, content=(ROOT / name).read_text("utf-8")))
    for path in sorted(linked_sources()):
        files.append(file.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401 - as above
    """Return a page in MkDocs' dialect, with the links of the site."""
    return as_mkdocs_reads(with_site_links(markdown, in_repository(page.file.src_uri)))


def as_mkdocs_reads(markdown: str) -> str:
    """Return a page whose code is highlighted on the site too.

    GitHub reads Markdown in the cells of an HTML table, and ignores a second word after a fence's
    language. Python-Markdown needs an attribute for the first, and reads the second as code.
    """
    named = _NAMED_FENCE.sub(r"\1", markdown)
    return _TABLE_TAG.sub(r'<\1 markdown="1">', named)


def with_site_links(markdown: str, path: str) -> str:
    """Return a page's text with the links of the site; `path` is the page's in the repository."""
    folder = posixpath.dirname(site_path(path))

    def replaced(match: re.Match[str]) -> str:
        return posixpath.relpath(site_path(_target(path, match[1])), folder or ".")

    return _LINK.sub(replaced, markdown)


def site_path(path: str) -> str:
    """Return the place on the site of a path in the repository."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{SOURCE}/{path}"


def in_repository(place: str) -> str:
    """Return the path in the repository of a page of the site."""
    roots = {site: name for name, site in ROOT_PAGES.items()}
    return roots.get(place, f"{DOCS}/{place}")


def linked_sources() -> set[str]:
    """Return the files outside the site that its pages link to, by their paths here."""
    pages = [*ROOT_PAGES, *(page.relative_to(ROOT).as_posix() for page in _pages())]
    targets = {
        _target(page, link) for page in pages for link in _LINK.findall((ROOT / page).read_text())
    }
    return {path for path in targets if site_path(path).startswith(f"{SOURCE}/")}


def _pages() -> Iterator[Path]:
    return (ROOT / DOCS).rglob("*.md")


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))

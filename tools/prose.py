"""Check of the project's prose: `python -m tools.prose` lists words that plain English replaces.

It reads the strings, docstrings, comments and names of functions and classes of Python files, the
comments and text of other files, and Markdown without its code. `RULES` has the words, with a
replacement for each. The rules follow the Google developer documentation style guide
(developers.google.com/style).
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]

NOT_PROSE = (
    "LICENSE",
    "tools/prose.py",
    "tests/unit/project/test_prose.py",
)
"""Text of others, and the list of words itself with its test."""
_SUFFIXES = (".py", ".md", ".yaml", ".yml", ".sh", ".toml", "Dockerfile", "Makefile")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Words that the project does not write, and what it writes instead."""

    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A place where a rule is broken; ``line`` counts from 1."""

    path: str
    line: int
    words: str
    instead: str

    def __str__(self) -> str:
        """Return the finding as a compiler prints it."""
        return f"{self.path}:{self.line}: {self.words!r}; write {self.instead}"


def _rule(pattern: str, instead: str) -> Rule:
    return Rule(pattern=re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), instead=instead)


RULES = (
    _rule(r"told|tells", "'reports', 'prints', 'returns' or 'distinguishes'"),
    _rule(r"said", "'reported', 'printed' or 'as described'"),
    _rule(r"(?<!there )(?:is|are|was|were) no (?!longer\b|more\b)[a-z]+", "'is not a'"),
    _rule(r"(?:is|are) to (?!date\b)[a-z]+", "'must'"),
    _rule(r"stands? (?:in|for|to)", "'is in', 'means' or 'replaces'"),
    _rule(r"anew", "'again'"),
    _rule(r"whoever|whomever", "'anyone who'"),
    _rule(r"lest|hitherto|thereof|therein|whence|thither|hence|thus|ere", "a modern word"),
    _rule(r"(?:except|even|only|unless|fails|error|empty|None) where", "'if' or 'when'"),
    _rule(r"where (?:there|that|this|nothing|none|no one) (?:is|has|does|can|was)", "'if'"),
    _rule(r"looks? around|lets? go of|speaks? against", "'preflight', 'release' or 'prevents'"),
    _rule(r"sign-in|sign_in", "'login'"),
)


def findings(path: str, text: str) -> list[Finding]:
    """Return where a file's prose breaks a rule; ``path`` decides how its text is read."""
    return [
        Finding(path=path, line=line, words=match[0], instead=rule.instead)
        for line, prose in prose_of(path, text)
        for rule in RULES
        for match in rule.pattern.finditer(prose)
    ]


def prose_of(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Return the parts of a file that people read, each with its line's number."""
    if path.endswith(".py"):
        yield from _python_prose(text)
    elif path.endswith(".md"):
        yield from _markdown_prose(text)
    else:
        yield from enumerate(text.splitlines(), 1)


def _python_prose(text: str) -> Iterator[tuple[int, str]]:
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])
        elif before in {"def", "class"}:
            yield token.start[0], _words_of(token.string)
        before = token.string


def _words_of(name: str) -> str:
    """Return the words of a name: ``test_a_stand_in`` → ``test a stand-in``."""
    return name.replace("stand_in", "stand-in").replace("_", " ")


def _markdown_prose(text: str) -> Iterator[tuple[int, str]]:
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield number, re.sub(r"`[^`]*`", "`code`", line)


def checked(paths: Iterable[str]) -> list[str]:
    """Return the paths whose prose is checked."""
    return [path for path in paths if path.endswith(_SUFFIXES) and path not in NOT_PROSE]


def tracked_files() -> list[str]:
    """Return the paths of the repository's files, with those that are not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]


def main() -> int:
    """Print every finding; return 1 if there is one."""
    found = [
        finding
        for path in checked(tracked_files())
        for finding in findings(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

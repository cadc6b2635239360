"""Every shell script of the repository is a file that `make lint` checks."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SHEBANG = re.compile(rb"#!\s*/(usr/)?bin/(env )?(ba|da)?sh\b")
SHELL = re.compile(r"^\s*(set -e|fi|done|esac|umask \d+|if \[ .*|.*> ?/dev/null.*)$", re.MULTILINE)
LONGEST_COMMAND_LINES = 3


def lines(*command: str) -> set[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def scripts() -> set[str]:
    files = lines("git", "ls-files")
    return {
        name
        for name in files
        if (ROOT / name).is_file()
        and (name.endswith(".sh") or SHEBANG.match((ROOT / name).read_bytes()[:40]))
    }


def test_make_lint_checks_every_shell_script() -> None:
    checked = lines("make", "--no-print-directory", "--eval=list:;@echo $(SHELL_SCRIPTS)", "list")
    assert checked == scripts()
    assert {"env.sh", ".ci/run", "infra/swarm/scripts/read_facts.sh"} < checked


def test_the_checks_find_a_mistake(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sh"
    broken.write_text("# broken\n# shellcheck shell=sh\nrm -rf $1/*\n")
    done = subprocess.run(["shellcheck", broken], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("path", sorted((ROOT / "infra").rglob("*.py")), ids=lambda path: path.stem)
def test_a_host_script_is_not_a_string_in_python(path: Path) -> None:
    tree = ast.parse(path.read_text())
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    long = [text for text in texts if text.count("\n") >= LONGEST_COMMAND_LINES]
    assert [text for text in long if SHELL.search(text)] == []

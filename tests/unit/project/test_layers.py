"""What the parts of the program may import: the contracts in `pyproject.toml`."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_contracts_between_the_parts_are_kept() -> None:
    done = subprocess.run(
        ["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "kept, 0 broken" in done.stdout

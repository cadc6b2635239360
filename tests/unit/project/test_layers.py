"""What the parts of the program may import: the contracts in `pyproject.toml`."""

import subprocess
import tomllib
from pathlib import Path

from infra.machines.targets import TARGETS

ROOT = Path(__file__).parents[3]


def test_the_contracts_between_the_parts_are_kept() -> None:
    done = subprocess.run(
        ["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "kept, 0 broken" in done.stdout


def test_every_target_is_in_the_contract_of_targets() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [
        each
        for each in project["tool"]["importlinter"]["contracts"]
        if each["name"] == "A target does not depend on another"
    ]
    packages = {type(target).__module__.rpartition(".")[0] for target in TARGETS.values()}
    assert set(contract["modules"]) == packages

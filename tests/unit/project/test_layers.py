"""What the parts of the program may import: the contracts in `pyproject.toml`."""

import ast
import subprocess
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

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


@pytest.mark.parametrize("package", ["infra", "dag_builder"])
def test_no_module_imports_itself_in_a_circle(package: str) -> None:
    """Also through imports inside of functions; types alone may refer to each other."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError with the circle


def compared_in(file: Path) -> set[object]:
    """Return the constants that a file compares a value with, or matches it against."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    tests = [node for node in nodes if isinstance(node, ast.Compare | ast.pattern)]
    return {
        part.value for test in tests for part in ast.walk(test) if isinstance(part, ast.Constant)
    }


@pytest.mark.parametrize("folder", [".", "infra", "infra/machines", "infra/settings"])
def test_what_differs_between_targets_is_in_their_packages(folder: str) -> None:
    files = list((ROOT / folder).glob("*.py"))
    assert files
    names = {*TARGETS, *(name for target in TARGETS.values() for name in target.registries)}
    assert not {str(file): names & compared_in(file) for file in files if names & compared_in(file)}

"""The unit tests mirror the source tree: a change and its tests have the same path."""

import subprocess
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[3]
WHOLE_REPOSITORY = "project"
"""Its tests compare files of several parts."""


def folders_of_tests() -> set[str]:
    """Return the folders below `tests/unit` that have a test."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "**/test_*.py"]
    done = subprocess.run(
        command, cwd=ROOT / "tests" / "unit", capture_output=True, text=True, check=True
    )
    files = [name for name in done.stdout.splitlines() if (ROOT / "tests" / "unit" / name).exists()]
    return {str(PurePosixPath(name).parent) for name in files}


def without_counterpart(folders: set[str]) -> set[str]:
    """Return the folders that neither the repository nor `infra/` has by the same path."""
    return {
        folder
        for folder in folders - {WHOLE_REPOSITORY}
        if folder == "." or not ((ROOT / folder).is_dir() or (ROOT / "infra" / folder).is_dir())
    }


def test_a_folder_of_tests_has_the_path_of_what_it_tests() -> None:
    assert {"infra/images", "machines/aws", "swarm", "tools/plugins/docker"} < folders_of_tests()
    assert without_counterpart(folders_of_tests()) == set()


def test_a_folder_without_a_counterpart_is_found() -> None:
    given = {".", "aws", "infra", "images", "machines", "infra/gone", "swarm/scripts", "project"}
    assert without_counterpart(given) == {".", "aws", "infra/gone"}

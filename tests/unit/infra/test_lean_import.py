"""What a run with nothing to do need not import, is not imported: its time is the user's."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "tools" / "plugins" / "docker"

PROGRAM = (
    "import infra.cluster, infra.machines.provision, infra.machines.targets, "
    "infra.settings.loading, infra.images.build_context"
)
PROVIDERS = (
    "import infra.resources.images, infra.resources.keys, infra.resources.local, "
    "infra.resources.operator_files, infra.resources.registry, infra.resources.stack, "
    "infra.resources.swarm"
)
STAND_IN = "from docker_stand_in import schema, serve; schema.image_inputs()"
NEEDED_TO_ACT_ONLY = ("docker", "paramiko", "cryptography", "tenacity", "requests")


def modules_after(code: str, folder: Path) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return set(printed.split())


@pytest.mark.parametrize(
    ("code", "folder"),
    [(PROGRAM, ROOT), (PROVIDERS, ROOT), (STAND_IN, PLUGIN)],
    ids=["program", "providers", "stand-in"],
)
def test_what_is_needed_to_act_only_is_not_imported(code: str, folder: Path) -> None:
    assert not modules_after(code, folder) & set(NEEDED_TO_ACT_ONLY)


def test_one_module_is_had_without_its_package() -> None:
    code = "from infra import lean_import; m = lean_import.module('docker.utils.build')"
    found = modules_after(f"{code}\nassert m.exclude_paths('dags', ['*.py'])", ROOT)
    assert not found & {"docker", "docker.api", "docker.utils", "paramiko"}


def test_the_package_is_whole_when_it_is_imported_later() -> None:
    code = "from infra import lean_import; lean_import.module('docker.utils.build')"
    whole = "import docker; docker.DockerClient; docker.errors.APIError"
    assert "docker.api.client" in modules_after(f"{code}\n{whole}", ROOT)


def test_a_package_that_is_there_already_is_used() -> None:
    code = "import docker; from infra import lean_import"
    same = "assert lean_import.module('docker.utils.build') is docker.utils.build"
    modules_after(f"{code}\n{same}", ROOT)


def test_a_package_that_is_not_installed_is_named() -> None:
    from infra import lean_import

    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        lean_import.module("no_such_package.part.module")

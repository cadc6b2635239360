"""Set-up as a whole, on the machine that runs the tests; `make test` has run it before."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infra.images import project_images
from tools.certificates import find_bundle, parse, private_certificates
from tools.laptop_project import LaptopProject
from tools.paths import Paths

pytestmark = pytest.mark.integration

PATHS = Paths.find()
VOLATILE = {"lock", "logs", "unreachable.json"}
PROGRAM = """
import sys
import pulumi
from provider import Doubled
pulumi.export("interpreter", sys.executable)
pulumi.export("doubled", Doubled("one", "ab").doubled)
"""
PROVIDER = """
from pulumi import Output
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Doubler(ResourceProvider):
    def create(self, props):
        return CreateResult("id", {**props, "doubled": props["word"] * 2})

class Doubled(Resource):
    doubled: Output[str]
    def __init__(self, name, word):
        super().__init__(Doubler(), name, {"word": word, "doubled": None})
"""


def set_up() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tools.setup"],
        cwd=PATHS.repository,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


def in_shell(line: str, *, folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a line in a new bash after env.sh, without this process's own Pulumi settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f'. "{PATHS.repository}/env.sh"\n{line}'],
        cwd=folder,
        env={**clean, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def snapshot() -> dict[str, tuple[int, int]]:
    """Return modification time and inode of all that set-up makes."""
    made = [
        path
        for top in (PATHS.programs, PATHS.cache)
        for path in top.rglob("*")
        if not VOLATILE & set(path.parts)
    ]
    stamps = [
        PATHS.environment / "dairflow-lock",
        PATHS.state / "docker-plugin",
        PATHS.state / "passphrase",
        PATHS.pulumi_home / "credentials.json",
    ]
    status = {str(path): path.lstat() for path in (*made, *stamps)}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in status.items()}


def test_a_second_set_up_does_nothing() -> None:
    set_up()
    before = snapshot()
    printed = set_up()
    assert "set-up: nothing to do" in printed
    assert "\n• " not in printed
    assert snapshot() == before


def test_the_base_image_trusts_this_networks_proxy_and_installs_packages() -> None:
    command = (
        "cat /etc/ssl/certs/ca-certificates.crt; apt-get update >&2; apt-get install -y hello >&2"
    )
    done = subprocess.run(
        ["docker", "run", "--rm", project_images.reference("base"), "sh", "-euc", command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trusted = parse(done.stdout)
    assert len(trusted) > 100
    if (bundle := find_bundle()) is not None:
        assert set(private_certificates(bundle[0])) <= set(trusted)


def test_docker_compose_works_in_the_shell(tmp_path: Path) -> None:
    assert in_shell("docker compose version --short", folder=tmp_path).startswith(
        ("2.", "v2.", "5")
    )


def test_compose_takes_the_clones_own_project_name(tmp_path: Path) -> None:
    """The name in `.env` has priority over the one in the compose file, which all clones have."""
    paths = replace(PATHS, repository=tmp_path)
    LaptopProject(paths=paths, say=print).install()
    file = "name: dairflow\nservices: {one: {image: none}}\n"
    (tmp_path / "docker-compose.yaml").write_text(file)
    line = "unset COMPOSE_PROJECT_NAME; docker compose config --format json"
    config = json.loads(in_shell(line, folder=tmp_path))
    assert config["name"].startswith("dairflow-")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: trial\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    (tmp_path / "provider.py").write_text(PROVIDER)
    return tmp_path


def test_pulumi_runs_a_python_program_with_a_dynamic_provider(project: Path) -> None:
    """Also behind a proxy, which must not receive requests for this machine."""
    backend = project / "backend"
    backend.mkdir()
    environment = {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    }
    in_shell("pulumi stack init trial", folder=project, environment=environment)
    in_shell("pulumi up --yes --skip-preview", folder=project, environment=environment)
    output = "pulumi stack output doubled; pulumi stack output interpreter"
    printed = in_shell(output, folder=project, environment=environment).splitlines()
    assert printed == ["abab", str(PATHS.python)]
    in_shell("pulumi preview --expect-no-changes", folder=project, environment=environment)
    in_shell("pulumi destroy --yes --skip-preview", folder=project, environment=environment)
    assert not list(PATHS.state.joinpath("state").rglob("trial*"))


def test_a_local_stack_needs_no_plugin_of_another_target() -> None:
    listed = in_shell("pulumi plugin ls --project --output json", folder=PATHS.repository)
    providers = {each["name"] for each in json.loads(listed) if each["kind"] == "resource"}
    assert providers == {"docker"}


def test_pulumi_takes_no_package_manager_from_the_lock_file() -> None:
    """A host with toolchains would take uv, and with it every locked provider's plugin."""
    runtime = yaml.safe_load((PATHS.repository / "Pulumi.yaml").read_text())["runtime"]
    assert runtime["options"] == {"toolchain": "pip", "virtualenv": ".venv"}


def test_a_users_own_login_is_the_one_that_counts(tmp_path: Path) -> None:
    backend = tmp_path / "mine"
    home = tmp_path / "home"
    backend.mkdir()
    home.mkdir()
    elsewhere = {"HOME": str(home)}
    default = in_shell("pulumi whoami --verbose", folder=tmp_path, environment=elsewhere)
    assert f"file://{PATHS.state}/state" in default
    # Named, because Pulumi takes the home folder from the user database and not from HOME.
    login = f'PULUMI_HOME="$HOME/.pulumi" pulumi login "file://{backend}"'
    in_shell(login, folder=tmp_path, environment=elsewhere)
    own = in_shell("pulumi whoami --verbose", folder=tmp_path, environment=elsewhere)
    assert f"file://{backend}" in own

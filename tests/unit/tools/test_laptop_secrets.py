import base64
import re
import stat
from pathlib import Path

import yaml

from tools.laptop_secrets import GENERATORS, LaptopSecrets
from tools.paths import Paths

COMPOSE_FILE = Path(__file__).parents[3] / "docker-compose.yaml"


def test_every_secret_of_the_compose_file_is_made(paths: Paths, printed: list[str]) -> None:
    step = LaptopSecrets(paths=paths, say=printed.append)
    assert step.check() is None
    step.install()
    assert step.check() is not None
    folder = paths.state / "dev-secrets"
    wanted = yaml.safe_load(COMPOSE_FILE.read_text())["secrets"]
    for name, secret in wanted.items():
        assert re.search(r"\.dairflow/dev-secrets\}/" + name, secret["file"])
        assert len((folder / name).read_text()) >= 32
    assert set(wanted) == set(GENERATORS)


def test_nobody_else_can_enter_and_the_containers_users_can_read(
    paths: Paths, printed: list[str]
) -> None:
    LaptopSecrets(paths=paths, say=printed.append).install()
    folder = paths.state / "dev-secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "admin_password").stat().st_mode) == 0o644


def test_what_is_there_is_kept(paths: Paths, printed: list[str]) -> None:
    step = LaptopSecrets(paths=paths, say=printed.append)
    step.install()
    folder = paths.state / "dev-secrets"
    before = {file.name: file.read_text() for file in folder.iterdir()}
    (folder / "jwt_secret").unlink()
    assert step.check() is None
    step.install()
    after = {file.name: file.read_text() for file in folder.iterdir()}
    assert after.pop("jwt_secret") != before.pop("jwt_secret")
    assert after == before


def test_the_fernet_key_is_one(paths: Paths, printed: list[str]) -> None:
    LaptopSecrets(paths=paths, say=printed.append).install()
    key = (paths.state / "dev-secrets" / "fernet_key").read_text()
    assert len(base64.urlsafe_b64decode(key)) == 32

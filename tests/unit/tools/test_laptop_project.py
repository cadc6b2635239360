from dataclasses import replace
from pathlib import Path

import pytest

from tools.laptop_project import LaptopProject
from tools.paths import Paths


@pytest.fixture
def step(paths: Paths, printed: list[str], monkeypatch: pytest.MonkeyPatch) -> LaptopProject:
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    paths.repository.mkdir(parents=True, exist_ok=True)
    return LaptopProject(paths=paths, say=printed.append, volume_exists=lambda _: False)


def test_two_clones_have_two_names(step: LaptopProject, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = replace(step, paths=replace(step.paths, repository=tmp_path / "other"))
    for each in (step, other):
        assert each.check() is None
        each.install()
    names = {step.check(), other.check()}
    assert len(names) == 2
    assert all(name and name.startswith("dairflow-") for name in names)


def test_it_keeps_the_users_own_lines_and_name(step: LaptopProject) -> None:
    env = step.paths.repository / ".env"
    env.write_text("DAIRFLOW_WEB_PORT=9090")
    step.install()
    first, second = env.read_text().splitlines()
    assert first == "DAIRFLOW_WEB_PORT=9090"
    assert second == f"COMPOSE_PROJECT_NAME={step.check()}"
    env.write_text("COMPOSE_PROJECT_NAME=mine\n")
    assert step.check() == "mine"


def test_a_clone_that_has_data_keeps_its_name(step: LaptopProject) -> None:
    (step.paths.state / "dev-secrets").mkdir(parents=True)
    used = replace(step, volume_exists=lambda name: name == "dairflow_postgres")
    used.install()
    assert used.check() == "dairflow"


def test_another_clones_data_are_not_this_ones(step: LaptopProject) -> None:
    replace(step, volume_exists=lambda _: True).install()
    assert step.check() != "dairflow"

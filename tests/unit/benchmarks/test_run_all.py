"""`python -m benchmarks` comes to its last benchmark, however those before it end."""

from pathlib import Path

import pytest

import benchmarks.__main__ as command

MAIN = "if __name__ == '__main__':\n    print()\n"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of benchmarks that the command takes for its own."""
    made = tmp_path / "some_benchmarks"
    made.mkdir()
    (made / "__init__.py").touch()
    (made / "helper.py").touch()
    monkeypatch.setattr(command, "FOLDER", made)
    return made


def test_each_runs_and_a_failure_is_reported_at_the_end(folder: Path, capfd: Captured) -> None:
    (folder / "first.py").write_text(f"import sys\nprint('1st')\nsys.exit(0)\n{MAIN}")
    (folder / "second.py").write_text(f"raise SystemExit(3)\n{MAIN}")
    (folder / "third.py").write_text(f"{MAIN}    print('3rd')\n")
    assert command.main([]) == 1
    assert capfd.readouterr().out == (
        "\n== first\n1st\n\n== second\n\n== third\n\n3rd\n"
        "\nfailed, or missed its target: second (exit code 3)\n"
    )
    assert command.main(["first", "third"]) == 0


def test_a_wrong_name_runs_nothing(folder: Path, capfd: Captured) -> None:
    (folder / "first.py").write_text(f"print('1st')\n{MAIN}")
    assert command.main(["first", "fist"]) == 2
    assert capfd.readouterr().out == "no such benchmark: fist; there are: first\n"


def test_the_benchmarks_are_those_that_can_be_run(capfd: Captured) -> None:
    assert command.main(["none"]) == 2
    assert capfd.readouterr().out == (
        "no such benchmark: none;"
        " there are: bootstrap, bootstrap_scale, dag_builder, edit, speed, up\n"
    )


def test_what_is_left_out_is_reported_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    from benchmarks.dag_builder import measure_beside_peer

    monkeypatch.setenv("PATH", str(tmp_path))
    assert measure_beside_peer() is None
    printed, way = capfd.readouterr().out.splitlines()[-2:]
    assert printed.startswith("LEFT OUT: dag-factory, the peer,")
    assert "there is no uv on the PATH" in printed
    assert way.startswith("to measure it: uv run --no-project")
    assert "dag-factory==1.1.*" in way

"""Conda's part of `airflow_env`, against a channel of packages that the test makes and serves."""

from __future__ import annotations

import asyncio
import platform
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow_env import conda, locks
from airflow_env.channels import parse
from airflow_env.errors import BuildError
from airflow_env.prefix import Prefix
from airflow_env.requirements import read_conda
from airflow_env.steps import Sources, make_conda_part

from tests.package_sources import Channel, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    """A Python that is none, and packages that depend on each other and exclude each other."""
    channel = Channel(tmp_path / "channel")
    channel.add("python", "3.13.1", files={"bin/python": b"#!/bin/sh\necho 3.13.1\n"})
    channel.add("python", "3.12.1", files={"bin/python": b"#!/bin/sh\necho 3.12.1\n"})
    for version in ("1.0", "2.0"):
        channel.add_python_package("words", version)
    channel.add_python_package("greeter", "1.0", ["python", "words >=1,<2"])
    channel.add_python_package("shouter", "1.0", ["python", "words >=2"])
    channel.add("graphics", "1.0", ["__cuda"])
    channel.index()
    return channel


@pytest.fixture
def url(channel: Channel) -> Iterator[str]:
    with served(channel.folder) as url:
        yield url


@pytest.fixture
def make(tmp_path: Path, url: str) -> Callable[..., Prefix]:
    """Make an environment from some lines of conda_requirements.txt."""

    def run(*lines: str, channels: str | None = None) -> Prefix:
        folder = tmp_path / "sources"
        folder.mkdir(exist_ok=True)
        (folder / "conda_requirements.txt").write_text("\n".join(lines))
        prefix = Prefix(path=tmp_path / f"env-{len(list(tmp_path.iterdir()))}")
        make_conda_part(
            Sources(folder=folder, channels=url if channels is None else channels), prefix
        )
        return prefix

    return run


def packages(prefix: Prefix) -> set[str]:
    return {package.rsplit("-", 1)[0] for package in prefix.conda_packages()}


def lock(sources: Path, url: str, *, upgrade: bool = False) -> None:
    """Write conda's lock as `make lock` does."""

    async def run() -> None:
        requirements = read_conda(sources)
        channels = parse(url)
        with tempfile.TemporaryDirectory() as cache:
            solver = conda.Solver(channels=channels, cache=Path(cache))
            file = sources / locks.CONDA_LOCK
            records = await conda.choose(solver, requirements, file, upgrade=upgrade)
            conda.write_lock(file, records, requirements, channels)

    asyncio.run(run())


def test_packages_come_with_what_they_need(
    make: Callable[..., Prefix], capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = make("python=3.13", "greeter  # says hello")
    assert packages(prefix) == {"python-3.13.1", "greeter-1.0", "words-1.0"}
    assert prefix.python.stat().st_mode & 0o100
    assert (
        prefix.path / "lib/python3.13/site-packages/words.py"
    ).read_text() == "VERSION = '1.0'\n"
    assert "3 conda packages solved now (no conda_requirements.lock;" in capsys.readouterr().out
    assert [path.name for path in prefix.path.parent.glob(".conda-*")] == []


def test_a_lock_decides_until_the_requirements_change(
    make: Callable[..., Prefix],
    channel: Channel,
    url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("python=3.13", "greeter")
    lock(tmp_path / "sources", url)
    text = (tmp_path / "sources" / locks.CONDA_LOCK).read_text()
    assert len(re.findall(r"sha256: [0-9a-f]{64}", text)) == 3
    assert f"# channels: {url}\n# platform: linux-64\n" in text
    channel.add("python", "3.13.2", files={"bin/python": b"newer"})
    channel.add_python_package("words", "1.5")
    channel.index()
    capsys.readouterr()

    assert "words-1.0" in packages(make("python=3.13", "greeter", "# a comment"))
    assert "3 conda packages by conda_requirements.lock" in capsys.readouterr().out

    # Another line: what is locked stays, the new line is added, and a message is printed.
    assert packages(make("python=3.13", "greeter", "words>1")) == {
        *("python-3.13.1", "greeter-1.0", "words-1.5")
    }
    assert "conda_requirements.lock is for other requirements" in capsys.readouterr().out

    lock(tmp_path / "sources", url, upgrade=True)
    assert "python-3.13.2" in packages(make("python=3.13", "greeter", "words>1"))


def test_the_lock_remembers_its_channels_and_no_password(
    make: Callable[..., Prefix], url: str, tmp_path: Path
) -> None:
    make("python=3.13")
    lock(tmp_path / "sources", url.replace("http://", "http://user:hunter2@"))
    assert "hunter2" not in (tmp_path / "sources" / locks.CONDA_LOCK).read_text()
    assert packages(make("python=3.13", channels="")) == {"python-3.13.1"}


def test_a_package_that_is_not_the_locked_one_is_refused(
    make: Callable[..., Prefix], channel: Channel, url: str, tmp_path: Path
) -> None:
    make("python=3.13", "words=1")
    lock(tmp_path / "sources", url)
    channel.add_python_package("words", "1.0", module="VERSION = 'evil'\n")
    with pytest.raises(BuildError, match=r"could not be installed(.|\n)*hash mismatch"):
        make("python=3.13", "words=1")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["python=3.13", "words", "greeter", "shouter"],
            (
                r"these requirements exclude each other \(channels: http\S+\):\n"
                r"    conda_requirements.txt:3: greeter\n"
                r"    conda_requirements.txt:4: shouter\n"
                r"The solver says:\n(.*\n)+.*words >=1,<2(.*\n)+"
                r"Loosen or remove one of these lines."
            ),
        ),
        # The solver's own text does not name the second line.
        (
            ["greeter=1", "words>=2", "python=3.13"],
            (
                r"exclude each other .*\n"
                r"    conda_requirements.txt:1: greeter=1\n    conda_requirements.txt:2: words>=2\n"
            ),
        ),
        (
            ["python=3.11", "wrds", "graphics", "greeter>=2"],
            (
                r"cannot be had from http\S+:\n"
                r"    conda_requirements.txt:1: python=3.11\n"
                r"        no such version; there are 3.12.1, 3.13.1\n"
                r"    conda_requirements.txt:2: wrds\n"
                r"        there is no package wrds; did you mean words\?\n"
                r"    conda_requirements.txt:3: graphics\n(.*\n)+.*__cuda.*\n"
                r"    conda_requirements.txt:4: greeter>=2\n"
                r"        no such version; there are 1.0\n"
            ),
        ),
    ],
)
def test_requirements_that_cannot_be_met_are_named(
    make: Callable[..., Prefix], lines: list[str], message: str
) -> None:
    with pytest.raises(BuildError, match=message):
        make(*lines)


def test_lines_that_conda_cannot_read_are_all_named(make: Callable[..., Prefix]) -> None:
    with pytest.raises(BuildError, match=r"txt:1: numpy<: .*\nconda_requirements.txt:2: =3: "):
        make("numpy<", "=3")
    with pytest.raises(BuildError, match=r"names no Python: add a line such as python=3.13"):
        make("words")


def test_a_channel_that_the_server_does_not_have_stops_the_build(
    make: Callable[..., Prefix], url: str
) -> None:
    with pytest.raises(BuildError, match=r"/ours: the server answers 404(.|\n)*CONDA_CHANNELS"):
        make("python=3.13", channels=f"{url}/ours")


def test_of_two_channels_both_have_to_answer(make: Callable[..., Prefix], url: str) -> None:
    with pytest.raises(BuildError, match=r"not every conda channel can be used:\n.*refused"):
        make("python=3.13", channels=f"{url},http://127.0.0.1:1/closed")


def test_what_is_not_a_channel_is_named(make: Callable[..., Prefix]) -> None:
    with pytest.raises(BuildError, match=r"'ftp://x' is not a channel. Valid:"):
        make("python=3.13", channels="conda-forge, ftp://x")


@pytest.mark.parametrize("channels", ["none", "http://127.0.0.1:1/closed"])
def test_without_a_channel_debian_s_python_is_taken_and_reported(
    make: Callable[..., Prefix], capsys: pytest.CaptureFixture[str], channels: str
) -> None:
    prefix = make(f"python={platform.python_version()}", "pandas", channels=channels)
    assert not prefix.by_conda
    assert prefix.python.exists()
    out = capsys.readouterr().out
    assert re.fullmatch(
        r"airflow_env: no conda channel \(.*(none|refused)\): "
        r"Python from Debian, every package from PyPI\n",
        out,
    )


def test_without_a_channel_what_pypi_cannot_serve_is_named(make: Callable[..., Prefix]) -> None:
    with pytest.raises(BuildError, match=r"txt:2: gdal: .*\n.*txt:3: numpy=2=py3_1: asks for") as e:
        make("python=3", "gdal", "numpy=2=py3_1", "scipy", channels="none")
    assert "# pypi: NAME" in str(e.value)
    with pytest.raises(BuildError, match=r"conda_requirements.txt:1: python=9.9\n.*is Debian's"):
        make("python=9.9", channels="none")


def test_the_build_machine_s_processor_has_no_effect() -> None:
    """The image runs on other machines than the one that made it."""
    assert ["__archspec", "1", "x86_64"] in [
        [str(each.name.normalized), str(each.version), str(each.build_string)]
        for each in conda.machine()
    ]

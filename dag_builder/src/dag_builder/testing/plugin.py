"""A pytest plugin: ``pytest --dags FOLDER`` adds the integrity test of a folder of DAGs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--dags``."""
    parser.addoption(
        "--dags",
        action="append",
        default=[],
        metavar="FOLDER",
        help="test that every DAG of this folder is sound (dag_builder.testing)",
    )


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add one test for each folder of ``--dags``."""
    folders = cast("list[str]", config.getoption("--dags") or [])
    if folders:
        make = cast("Any", _Folders).from_parent
        collector: _Folders = make(session, name="dags", folders=folders)
        items.extend(collector.collect())


class _Folders(pytest.Collector):
    def __init__(self, *, folders: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folders = folders

    def collect(self) -> Iterator[pytest.Item]:
        for folder in self.folders:
            make = cast("Any", _SoundFolder).from_parent
            yield make(self, name=folder)


class _SoundFolder(pytest.Item):
    def runtest(self) -> None:
        from dag_builder.testing.integrity import assert_dags_are_sound

        assert_dags_are_sound(Path(self.name))

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: Any = None,  # noqa: ARG002 - pytest's own signature
    ) -> str:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, None, str]:
        return Path(self.name), None, f"DAGs of {self.name} are sound"

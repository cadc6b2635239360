"""Which errors are shown to users as a text alone."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import infra
from infra.errors import UserError
from infra.machines import target_packages
from infra.resources.provider import ResourceError, explained

INTERNAL = {"ResourceError", "_NotFilledError"}
"""What a user error is turned into for Pulumi, and one that is always caught in its module."""


def own_errors() -> Iterator[type[BaseException]]:
    target_packages.use("aws")
    for found in pkgutil.walk_packages(infra.__path__, "infra."):
        module = importlib.import_module(found.name)
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, BaseException) and value.__module__ == module.__name__:
                yield value


def test_every_error_of_the_program_is_for_users() -> None:
    errors = {error.__name__: error for error in own_errors()}
    assert {"AwsError", "LocalError", "SwarmError", "TargetPackagesError"} <= errors.keys()
    others = {name for name, error in errors.items() if not issubclass(error, UserError)}
    assert others == INTERNAL


def test_a_resource_shows_its_text_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(target_packages, "folder", lambda target: tmp_path / target)
    with pytest.raises(ResourceError, match="make setup") as caught:
        explained(target_packages.use)("aws")
    assert caught.value.__suppress_context__


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        explained(lambda: 1 / 0)()

"""How strict the tests are about what they leave open."""

from pathlib import Path

import pytest

UNIT = Path(__file__).parent / "unit"


def pytest_configure(config: pytest.Config) -> None:
    """Report sockets that tests with containers leave open; of unit tests they are errors.

    The Docker library leaves its connections to the garbage collector, which may run in any test.
    """
    paths = (Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args)
    if not all(path.resolve().is_relative_to(UNIT) for path in paths):
        for category in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning"):
            config.addinivalue_line("filterwarnings", f"default::{category}")

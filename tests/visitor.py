"""Actions that are repeated while something else happens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import requests

if TYPE_CHECKING:
    from collections.abc import Callable


class Repeated:
    """Calls a function every few seconds in a ``with`` block, and records the failures."""

    def __init__(self, call: Callable[[], object], seconds: float) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._call = call
        self._seconds = seconds
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._repeat)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._ends.wait(self._seconds):
            try:
                self._call()
                self.answers += 1
            except Exception as error:  # noqa: BLE001 - the test asserts that there is none
                self.failures.append(f"{datetime.now(UTC):%X}: {error!r}")


class Visitor(Repeated):
    """Requests a page five times a second."""

    def __init__(self, url: str) -> None:
        super().__init__(lambda: requests.get(url, timeout=240).raise_for_status(), 0.2)

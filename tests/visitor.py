"""A user who is there while something happens."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Self

import requests


class Visitor:
    """Requests a page five times a second in a ``with`` block, and records the failures."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers = 0
        self.failures: list[str] = []
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._visit)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaves.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._leaves.wait(0.2):
            try:
                requests.get(self.url, timeout=240).raise_for_status()
                self.answers += 1
            except requests.RequestException as error:
                self.failures.append(f"{datetime.now(UTC):%X}: {error}")

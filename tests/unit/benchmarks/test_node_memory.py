"""The values of a memory cgroup, in both versions, and the message if it cannot be read."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.node_memory import MemoryUnknownError, memory_of, used_bytes

VERSION_1 = "1000\ncache 300\ninactive_file 1\ntotal_cache 400\ntotal_inactive_file 200\n"
VERSION_2 = "1000\nanon 500\nfile 400\ninactive_file 300\n"


class Node(SimpleNamespace):
    """A container that answers every command with the same text."""

    def exec_run(self, command: list[str]) -> tuple[int, bytes]:
        del command
        return self.code, self.text.encode()


def node(text: str, code: int = 0) -> Any:
    return Node(name="worker-1", text=text, code=code)


def test_pages_that_nobody_used_lately_are_not_counted() -> None:
    assert used_bytes(VERSION_1) == 800
    assert used_bytes(VERSION_2) == 700
    assert memory_of([node(VERSION_1), node(VERSION_2)]) == 1500


@pytest.mark.parametrize("text", ["", "1000\n", "cat: memory.current: No such file\n"])
def test_unreadable_memory_is_reported_with_the_node(text: str) -> None:
    with pytest.raises(MemoryUnknownError, match="worker-1: its memory cgroup cannot be read"):
        memory_of([node(text, 1)])


def test_no_node_is_not_zero() -> None:
    with pytest.raises(MemoryUnknownError, match="no node runs"):
        memory_of([])

"""Compiles Python files to the same bytes every time; run with the interpreter they are for.

How a constant is written depends on what its process has compiled before. So each file has a
process of its own: otherwise a rebuild changes a file in each layer, and all are shipped again.
"""

from __future__ import annotations

import contextlib
import os
import py_compile
import sys
from importlib.util import cache_from_source


def compile_all(files: list[str]) -> None:
    """Compile the files that have no bytecode yet; others stay without."""
    for file in files:
        if os.path.exists(cache_from_source(file)):  # noqa: PTH110 - imports count: see above
            continue
        child = os.fork()
        if child == 0:
            with contextlib.suppress(Exception):
                # Unchecked bytecode stays valid whatever a layer does to the files' times.
                py_compile.compile(
                    file, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
                )
            os._exit(0)
        os.waitpid(child, 0)


def main() -> None:
    """Compile the files that standard input names, on every processor."""
    files = sys.stdin.read().splitlines()
    processors = len(os.sched_getaffinity(0))
    shares = [files[start::processors] for start in range(processors)]
    for share in shares:
        if os.fork() == 0:
            compile_all(share)
            os._exit(0)
    for _ in shares:
        os.wait()


if __name__ == "__main__":
    main()

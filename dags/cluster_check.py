"""Check the cluster by using it: count the words of Airflow's own source on several workers.

One task plans shares of the installed `airflow.sdk` package's files, one task a share counts the
words in it (so they spread over the workers), and the last adds the counts up, checks that no file
was lost, and says which hosts did the work. With `seconds` above 0 each counting task keeps working
for that long, which is what a scale-down must wait for.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import airflow.sdk
from airflow.sdk import Param, dag, task

log = logging.getLogger(__name__)

SHARES = 6
WORD = re.compile(rb"[A-Za-z]{4,}")
MOST_COMMON = 10
CANDIDATES = 100
"""What a share sends of its words: enough for the most common ones of all to be among them."""
PAUSE_SECONDS = 0.5


def source_files() -> list[Path]:
    """Find the source files of the installed package, in the same order on every host."""
    return sorted(Path(airflow.sdk.__file__).parent.rglob("*.py"))


def count_words(files: list[Path]) -> Counter[str]:
    """Count the words of four letters or more."""
    return Counter(word.decode() for path in files for word in WORD.findall(path.read_bytes()))


@dag(
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    tags=["example"],
    doc_md=__doc__,
    params={
        "seconds": Param(0, type="integer", minimum=0, description="How long each share takes"),
    },
)
def cluster_check() -> None:
    """Plan, count in parallel, add up."""

    @task
    def plan() -> list[dict[str, int]]:
        files = len(source_files())
        return [{"share": share, "files": files} for share in range(SHARES)]

    @task
    def count(share: int, files: int, params: dict[str, int]) -> dict[str, object]:
        deadline = time.monotonic() + params["seconds"]
        found = source_files()
        if len(found) != files:
            message = f"planned {files} files, this host has {len(found)}: do all run one image?"
            raise RuntimeError(message)
        mine = found[share::SHARES]
        words = count_words(mine)
        while time.monotonic() < deadline:
            if count_words(mine) != words:
                message = "the same files were counted twice, with different results"
                raise RuntimeError(message)
            time.sleep(PAUSE_SECONDS)
        log.info("counted %d words in %d files", words.total(), len(mine))
        return {
            "host": socket.gethostname(),
            "files": len(mine),
            "words": words.total(),
            "most_common": dict(words.most_common(CANDIDATES)),
        }

    @task
    def report(shares: list[dict[str, Any]]) -> dict[str, object]:
        counted = sum(share["files"] for share in shares)
        if counted != len(source_files()):
            message = f"{counted} of {len(source_files())} files were counted"
            raise RuntimeError(message)
        words: Counter[str] = Counter()
        for share in shares:
            words.update(share["most_common"])
        hosts = Counter(share["host"] for share in shares)
        for host, tasks in sorted(hosts.items()):
            log.info("%s did %d of %d shares", host, tasks, len(shares))
        return {
            "hosts": dict(sorted(hosts.items())),
            "files": counted,
            "words": sum(share["words"] for share in shares),
            "most_common": dict(words.most_common(MOST_COMMON)),
        }

    report(count.expand_kwargs(plan()))


cluster_check()

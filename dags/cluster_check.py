"""Check the cluster by using it: count the words of Airflow's own source on several workers.

One task plans shares of the installed package's files, one task a share counts the words in it (so
they spread over the workers), and the last adds the counts up, checks that no file was lost, and says
which hosts did the work. With `seconds` above 0 each counting task also keeps working for that long,
which is what a scale-down must wait for.
"""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from pathlib import Path

from airflow.sdk import Param, dag, task

SHARES = 6
WORD = re.compile(rb"[A-Za-z_]{4,}")
MOST_COMMON = 10


def source_files() -> list[Path]:
    """Find the source files of the installed `airflow.models` and `airflow.sdk` packages."""
    import airflow.sdk

    root = Path(airflow.sdk.__file__).parent
    return sorted(root.rglob("*.py"))


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
    def count(share: int, files: int, params: dict[str, int] | None = None) -> dict[str, object]:
        started = time.monotonic()
        found = source_files()
        if len(found) != files:
            message = f"planned {files} files, this host has {len(found)}: do all run one image?"
            raise RuntimeError(message)
        mine = found[share::SHARES]
        words: Counter[str] = Counter()
        rounds = 0
        while rounds == 0 or time.monotonic() - started < (params or {})["seconds"]:
            words = Counter(
                word.decode() for path in mine for word in WORD.findall(path.read_bytes())
            )
            rounds += 1
            time.sleep(0.2 if (params or {})["seconds"] else 0)
        print(f"counted {words.total()} words in {len(mine)} files, {rounds} times")
        return {
            "host": socket.gethostname(),
            "files": len(mine),
            "total": words.total(),
            "words": dict(words.most_common(100 * MOST_COMMON)),
        }

    @task
    def report(shares: list[dict[str, object]]) -> dict[str, object]:
        counted = sum(share["files"] for share in shares)
        if counted != len(source_files()):
            message = f"{counted} of {len(source_files())} files were counted"
            raise RuntimeError(message)
        words: Counter[str] = Counter()
        for share in shares:
            words.update(share["words"])
        hosts = Counter(share["host"] for share in shares)
        for host, tasks in sorted(hosts.items()):
            print(f"{host} did {tasks} of {len(shares)} shares")
        return {
            "hosts": dict(sorted(hosts.items())),
            "files": counted,
            "words": sum(share["total"] for share in shares),
            "most_common": dict(words.most_common(MOST_COMMON)),
        }

    report(count.expand_kwargs(plan()))


cluster_check()

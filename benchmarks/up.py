"""From nothing to the example DAG's success, by phase; an `up` with nothing to do; idle memory.

The images are built already (`make setup`), so what is measured is what a user waits for on the
second day. The limits are the project's own goals: 90 s, 6 s and 3 GiB on two cores. The phases
are read off Pulumi's own progress, as it arrives.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import docker

from benchmarks._stack import STACK, pulumi, scratch_stack, signed_in
from benchmarks.node_memory import MemoryUnknownError, memory_of
from tools.prove import DAG_ID, DAG_TIMEOUT_SECONDS, RUN_TIMEOUT_SECONDS

UP_LIMIT_SECONDS = 90.0
NOTHING_LIMIT_SECONDS = 6.0
MEMORY_LIMIT_BYTES = 3 * 2**30
PHASES = (
    ("keys and network", re.compile(r"LocalMachine manager-1 creating")),
    ("node containers", re.compile(r":Swarm swarm creating")),
    ("swarm joined over SSH, firewall in place", re.compile(r":Swarm swarm created")),
    ("registry", re.compile(r":Registry registry created")),
    ("images built and pushed", re.compile(r":Stack airflow creating")),
    ("pulled, migrated, Airflow healthy", re.compile(r":Stack airflow created")),
)


@dataclass
class Watch:
    """Seconds since the start at which each phase ended."""

    started: float = field(default_factory=time.monotonic)
    ended: dict[str, float] = field(default_factory=dict)

    def see(self, line: str) -> None:
        """Note the end of each phase that this line of Pulumi's progress reports."""
        for phase, pattern in PHASES:
            if phase not in self.ended and pattern.search(line):
                self.ended[phase] = time.monotonic() - self.started

    def close(self, phase: str) -> float:
        """End a phase now; return the seconds since the start."""
        self.ended[phase] = time.monotonic() - self.started
        return self.ended[phase]


def measure() -> None:
    """Bring a cluster up, use it, bring it up again, and destroy it."""
    watch = Watch()
    pulumi("up", "--yes", "--skip-preview", "--stack", STACK, see=watch.see)
    watch.close("Pulumi's end")
    airflow = signed_in()
    airflow.wait_for_dag(DAG_ID, DAG_TIMEOUT_SECONDS)
    run = airflow.trigger(DAG_ID)
    state = airflow.wait_for_run(DAG_ID, run, RUN_TIMEOUT_SECONDS)
    if state != "success":
        message = f"the example DAG ended as {state}"
        raise SystemExit(message)
    whole = watch.close("example DAG's success")
    before = 0.0
    for phase, end in watch.ended.items():
        print(f"  {phase:<45} {end - before:6.1f} s   at {end:6.1f} s")
        before = end
    _ratio("from nothing to success", whole, UP_LIMIT_SECONDS, "s")

    for how, options in (("its preview included", ()), ("--skip-preview", ("--skip-preview",))):
        started = time.monotonic()
        pulumi("up", "--yes", *options, "--stack", STACK)
        seconds = time.monotonic() - started
        _ratio(f"up with nothing to do, {how}", seconds, NOTHING_LIMIT_SECONDS, "s")
    gib = 2**30
    _ratio("memory when idle", _memory_of_the_nodes() / gib, MEMORY_LIMIT_BYTES / gib, "GiB")


def _memory_of_the_nodes() -> int:
    client = docker.from_env()
    try:
        return memory_of(client.containers.list(filters={"name": f"^dairflow-{STACK}-"}))
    except MemoryUnknownError as exc:
        message = f"memory when idle: {exc}"
        raise SystemExit(message) from exc
    finally:
        client.close()


def _ratio(what: str, seen: float, limit: float, unit: str) -> None:
    print(f"{what}: {seen:.2f} {unit}; goal {limit:g} {unit}; ratio {seen / limit:.2f}", flush=True)


def main() -> None:
    """Measure with a stack of its own."""
    with scratch_stack(web_port=28081, flower_port=25556):
        measure()


if __name__ == "__main__":
    main()

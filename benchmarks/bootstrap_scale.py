"""A swarm of 10, 100 and 500 simulated hosts, by the real resource and the real command line.

The hosts are `benchmarks.simulator`'s: 40 s of boot, all at the same time, 50 ms of round trip,
20 s to install an engine. They share this machine's processors with what is measured. At the
largest size an `up` with nothing to do, a refresh, one node more, and a destroy are measured as
well. The goals are the project's own; the first is hetzner-k3s's published figure for 500 nodes.

    python -m benchmarks.bootstrap_scale [HOSTS …]
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from benchmarks.simulator.__main__ import MANAGERS
from infra.remote.rate_limit import CONNECTIONS_PER_SECOND

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "benchmarks" / "scale_program"
STACK = "scale"
SIZES = (10, 100, 500)
UP_LIMIT_SECONDS = 660.0
MEMORY_LIMIT_BYTES = 2 * 2**30
MIB = 2**20
_SAMPLE_SECONDS = 0.25


class Simulator:
    """The process that has the hosts; a context manager that ends it."""

    def __init__(self, hosts: int) -> None:
        """Begin to boot ``hosts`` hosts."""
        command = [sys.executable, "-m", "benchmarks.simulator", str(hosts - MANAGERS)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.fleet = self._read()

    def traffic(self) -> dict[str, Any]:
        """Return what came in since it was asked for last."""
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> Self:
        """Use the simulator as a context manager that ends it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            message = "the simulator ended; its error is above"
            raise SystemExit(message)
        return json.loads(line)


@dataclass
class Use:
    """What a process and its children took. ``provider`` is the one that has the connections."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    provider_peak_bytes: int = 0
    whole_peak_bytes: int = 0


class Sampler(threading.Thread):
    """Watches a process and its children; ``peaks`` grow while it runs."""

    def __init__(self, pid: int) -> None:
        """Watch from `start` on until the process is gone."""
        super().__init__(daemon=True)
        self.use = Use()
        self._root = psutil.Process(pid)
        self._cpu: dict[int, float] = {}

    def run(self) -> None:
        """Sample until the process is gone."""
        while self._root.is_running() and self._root.status() != psutil.STATUS_ZOMBIE:
            whole = 0
            for process in (self._root, *self._root.children(recursive=True)):
                with contextlib.suppress(psutil.Error), process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info().rss
                    self._cpu[process.pid] = times.user + times.system
                    whole += memory
                    if "pulumi.dynamic" in process.cmdline():
                        peak = max(self.use.provider_peak_bytes, memory)
                        self.use.provider_peak_bytes = peak
            self.use.whole_peak_bytes = max(self.use.whole_peak_bytes, whole)
            self.use.cpu_seconds = sum(self._cpu.values())
            time.sleep(_SAMPLE_SECONDS)


def pulumi(*arguments: str) -> Use:
    """Run pulumi and return what it took; its output is printed when it fails."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--stack", STACK],
            cwd=PROGRAM,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        sampler = Sampler(running.pid)
        sampler.start()
        status = running.wait()
        sampler.use.seconds = time.monotonic() - begun
        sampler.join()
        if status != 0:
            log.seek(0)
            print(log.read())
            message = f"pulumi {' '.join(arguments)} failed"
            raise SystemExit(message)
    return sampler.use


def measure(hosts: int, folder: Path, *, further: bool) -> Use:
    """Bring a swarm of ``hosts`` up and destroy it; ``further`` measures the rest in between."""
    fleet_file = folder / "fleet.json"
    os.environ["DAIRFLOW_SCALE_FLEET"] = str(fleet_file)

    def with_machines(count: int) -> None:
        fleet = simulator.fleet
        fleet_file.write_text(json.dumps({**fleet, "machines": fleet["machines"][:count]}))

    def step(what: str, *arguments: str) -> Use:
        use = pulumi(*arguments, "--yes")
        _show(f"{hosts} hosts, {what}", use, simulator.traffic())
        return use

    with Simulator(hosts + 1) as simulator:
        with_machines(hosts)
        pulumi("stack", "init")
        first = step("up", "up", "--skip-preview")
        if further:
            step("nothing to do", "up", "--skip-preview")
            step("refresh", "refresh", "--skip-preview")
            with_machines(hosts + 1)
            step("one more", "up", "--skip-preview")
        step("destroy", "destroy", "--skip-preview")
        pulumi("stack", "rm", "--yes")
    return first


def _show(what: str, use: Use, traffic: dict[str, Any]) -> None:
    print(
        f"{what}: {use.seconds:.1f} s, {use.cpu_seconds:.1f} s of processor time;"
        f" peak memory {use.provider_peak_bytes / MIB:.0f} MiB in the provider,"
        f" {use.whole_peak_bytes / MIB:.0f} MiB in all;"
        f" {traffic['connections']} connections to {traffic['hosts_connected_to']} hosts,"
        f" {traffic['attempts']} attempts, at most {traffic['attempts_per_second_at_peak']}"
        f" in a second; {sum(traffic['commands'].values())} commands",
        flush=True,
    )
    if traffic["failures"]:
        message = "\n".join(["hosts refused:", *traffic["failures"]])
        raise SystemExit(message)


def _ratio(what: str, seen: float, limit: float, unit: str) -> None:
    print(f"{what}: {seen:.2f} {unit}; goal {limit:g} {unit}; ratio {seen / limit:.2f}", flush=True)


def main(sizes: tuple[int, ...]) -> None:
    """Measure with a backend of its own, and leave nothing behind."""
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["PULUMI_CONFIG_PASSPHRASE"] = "a passphrase for a benchmark"  # noqa: S105
    os.environ.pop("PULUMI_CONFIG_PASSPHRASE_FILE", None)
    print(f"load before: {os.getloadavg()[0]:.2f}; connections a second: {CONNECTIONS_PER_SECOND}")
    ups: dict[int, Use] = {}
    for hosts in sizes:
        with tempfile.TemporaryDirectory(prefix="dairflow-benchmark-") as folder:
            os.environ["PULUMI_BACKEND_URL"] = f"file://{folder}"
            ups[hosts] = measure(hosts, Path(folder), further=hosts == sizes[-1])
    for smaller, larger in itertools.pairwise(sizes):
        growth = ups[larger].seconds / ups[smaller].seconds
        each = (ups[larger].seconds - ups[smaller].seconds) / (larger - smaller)
        _ratio(f"growth from {smaller} to {larger} hosts", growth, larger / smaller, "times")
        print(f"each host between {smaller} and {larger}: {each:.2f} s")
    last = ups[sizes[-1]]
    _ratio(f"up with {sizes[-1]} hosts", last.seconds, UP_LIMIT_SECONDS, "s")
    _ratio("memory", last.whole_peak_bytes / MIB, MEMORY_LIMIT_BYTES / MIB, "MiB")


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)

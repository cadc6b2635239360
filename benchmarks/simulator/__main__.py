"""`python -m benchmarks.simulator WORKERS`: hosts that boot, until standard input ends.

Three of them are called managers, ``WORKERS`` workers. Prints one line of JSON: the operator's
private key and the machines, as soon as all of them boot. Every line on standard input is then
answered with one of JSON: the traffic since the line before, and this process's CPU seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks.simulator.model import Timing, World
from benchmarks.simulator.server import Servers, Traffic
from infra.machines.fleet import names
from infra.remote.keys import generate_key_pair

MANAGERS = 3


async def main(workers: int) -> None:
    """Serve until standard input ends."""
    operator = generate_key_pair()
    world = World([name for name, _, _ in names(MANAGERS, workers)])
    async with Servers(world, Timing(), operator) as servers:
        machines = [machine.to_dict() for machine in servers.machines]
        print(json.dumps({"private_key": operator.private, "machines": machines}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            traffic, servers.traffic = servers.traffic, Traffic()
            seen = {**traffic.to_dict(), "cpu_seconds": time.process_time()}
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

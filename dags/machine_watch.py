"""Two DAGs joined by an asset: one measures its worker, each measurement starts the other.

What it teaches: assets, and YAML. ``machine_measure`` has the asset ``machine`` as an outlet, so
that a success of its task is an event of that asset, with the measurement in it.
``machine_watch`` is scheduled on the asset and finds the events that started it. Neither knows the
other. The DAGs are in
``machine_watch.yaml``; the functions that they name are looked up here.
"""

import os
import shutil
import socket
from pathlib import Path
from typing import Any

# Airflow opens Python files that have its name in them.
from dag_builder import build_yaml

MEMORY = Path("/proc/meminfo")


def measure(outlet_events: Any) -> dict[str, Any]:  # noqa: ANN401 - Airflow's accessor of events
    """Measure this worker and put it into the asset's event."""
    from airflow.sdk import Asset  # noqa: PLC0415 - a DAG file imports little when it is parsed

    disk = shutil.disk_usage("/")
    lines = (line.split() for line in MEMORY.read_text(encoding="ascii").splitlines())
    memory = {words[0].rstrip(":"): int(words[1]) for words in lines}
    found = {
        "host": socket.gethostname(),
        "disk_percent": round(100 * disk.free / disk.total, 1),
        "memory_percent": round(100 * memory["MemAvailable"] / memory["MemTotal"], 1),
        "load": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
    }
    event = outlet_events[Asset(name="machine", uri="machine://measurement", group="cluster")]
    event.extra = found
    return found


def judge(triggering_asset_events: Any, params: dict[str, Any]) -> int:  # noqa: ANN401
    """Fail, which is an alarm, where a worker has too little disk left. Return the count."""
    events = [event for several in triggering_asset_events.values() for event in several]
    full = []
    for event in events:
        found = event.extra
        print(f"{found['host']}: {found['disk_percent']} % of the disk is free")
        if found["disk_percent"] < params["least_disk_percent"]:
            full.append(found["host"])
    if full:
        message = f"too little disk is left on {', '.join(full)}"
        raise RuntimeError(message)
    return len(events)


build_yaml("machine_watch.yaml")

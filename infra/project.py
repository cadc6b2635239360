"""The project's root, with the compose file, the images' sources and `.dairflow`.

Also the name of its stack of services, in the swarm and on every node.
"""

import socket
from pathlib import Path

STACK_NAME = "airflow"
ROOT = Path(__file__).resolve().parents[1]


def this_clone() -> str:
    """Return the machine and the folder of this clone, to which a local stack belongs."""
    return f"{socket.gethostname()}:{ROOT}"

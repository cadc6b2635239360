"""Where the project is: its root holds the compose file, the images' sources and `.dairflow`.

And what its services are called together, in the swarm and on every node.
"""

import socket
from pathlib import Path

STACK_NAME = "airflow"
ROOT = Path(__file__).resolve().parents[1]


def this_clone() -> str:
    """Return the machine and the folder of this clone, which a local stack belongs to."""
    return f"{socket.gethostname()}:{ROOT}"

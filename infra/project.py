"""Where the project is: its root holds the compose file, the images' sources and `.dairflow`.

And what its services are called together, in the swarm and on every node.
"""

from pathlib import Path

STACK_NAME = "airflow"
ROOT = Path(__file__).resolve().parents[1]

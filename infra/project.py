"""Where the project is: its root holds the compose file, the images' sources and `.dairflow`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

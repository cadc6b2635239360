"""Make the plugin's package importable: it is not on the project's own path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tools" / "plugins" / "docker"))

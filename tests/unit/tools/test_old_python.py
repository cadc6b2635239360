"""What a Python that is too old gets to see."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PRETEND = """
import sys
sys.version_info = (3, 9, 2)
import tools.setup
"""


def test_an_old_python_gets_the_required_version() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRETEND], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed, and this is 3.9.")
    assert "Traceback" not in done.stderr

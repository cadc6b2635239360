"""`python -m benchmarks [NAME …]`: run the named benchmarks, or all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run each benchmark in a process of its own, and all of them whatever one ends with.

    Returns 1 when one failed or missed its target, 2 for a name that there is none of.
    """
    known = sorted(
        path.stem
        for path in FOLDER.glob("*.py")
        if path.stem != "__main__" and "__main__" in path.read_text(encoding="utf-8")
    )
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    failed: list[str] = []
    for name in names or known:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"{FOLDER.name}.{name}"]
        code = subprocess.run(command, cwd=FOLDER.parent, check=False).returncode
        if code:
            failed.append(f"{name} (exit code {code})")
    if failed:
        print(f"\nfailed, or missed its target: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every user can read what an image copies from a clone, whatever the umask it was made under."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILES = sorted([*(ROOT / "images").glob("*/Dockerfile"), ROOT / "tools/base/Dockerfile"])
OPENED = re.compile(r"chmod -R u=rwX,go=rX (\S+)")


def instructions(dockerfile: Path) -> list[str]:
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    return [line for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines() if line]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: file.parent.name)
def test_each_copy_from_the_clone_has_modes_of_its_own(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    copies = [number for number, step in enumerate(steps) if re.match(r"COPY (?!--from=)", step)]
    assert copies
    for number in copies:
        words = steps[number].split()[1:]
        if words[0].startswith("--chmod="):
            sources = [dockerfile.parent / name for name in words[1:-1]]
            runs = any(source.stat().st_mode & 0o100 for source in sources)
            assert words[0] == f"--chmod={'0755' if runs else '0644'}", steps[number]
        else:
            stage = takewhile(lambda step: not step.startswith("FROM "), steps[number:])
            opened = OPENED.findall("\n".join(stage))
            assert any(words[-1].startswith(folder) for folder in opened), steps[number]

"""`python3 -m tools.setup`: find, get or build everything that the project needs.

`--for up` leaves out Compose, which only the laptop (`make dev`) needs; `--for dev` leaves out
Pulumi and the images that only a cluster needs; `--for lock` leaves out all of these, and the
images that are made by the lock files.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tools import image_names, other_clone
from tools.base_image import BaseImage
from tools.browser import PACKAGES as BROWSER
from tools.browser import Browser
from tools.certificates import find_bundle, trusting
from tools.compose import Compose
from tools.docker_plugin import DockerPlugin
from tools.engine import DockerEngine, ask_engine
from tools.environment import LockedEnvironment, Uv
from tools.errors import SetupError
from tools.golang import GoFinder
from tools.host import Host, detect
from tools.images import NAMES, ProjectImage
from tools.laptop_project import LaptopProject
from tools.laptop_secrets import LaptopSecrets
from tools.official import Official
from tools.packages import Apt, SystemPackages
from tools.paths import Paths
from tools.platform_check import Platform
from tools.project_state import ProjectState
from tools.pulumi_cli import CLI, PulumiCli
from tools.readable_sources import ReadableSources
from tools.step import Step, run_steps
from tools.target_packages import TargetPackages

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

PURPOSES = ("all", "up", "dev", "lock", "test")
IMAGES = {"dev": ("postgres", "redis", "web", "airflow"), "lock": ()}
"""The project's images for a purpose; all of them for any other."""


def steps(purpose: str, *, paths: Paths, host: Host, refresh: bool = False) -> list[Step]:
    """Return the steps for a purpose, in order; `refresh` makes the images again."""
    bundle = find_bundle()
    ca_file = bundle[0] if bundle else None
    if ca_file is not None:
        os.environ.update(trusting(ca_file, os.environ))
    official = Official(
        cache=paths.cache, bundle=ca_file, retry=bool(os.environ.get("DAIRFLOW_RETRY_OFFICIAL"))
    )
    apt = Apt(host=host, logs=paths.logs, say=say)
    go = GoFinder(apt=apt, say=say)
    uv = Uv(paths=paths, say=say)
    always: list[Step] = [
        Platform(paths=paths, host=host),
        SystemPackages(apt=apt, engine_answers=lambda: ask_engine().exists),
        DockerEngine(paths=paths, host=host, say=say),
        uv,
        LockedEnvironment(paths=paths, uv=uv, say=say),
    ]
    pulumi: list[Step] = [
        PulumiCli(paths=paths, host=host, official=official, go=go, say=say),
        ProjectState(paths=paths, pulumi=lambda: _program(paths, CLI), say=say),
        DockerPlugin(paths=paths, official=official, say=say),
        TargetPackages(paths=paths, uv=uv, target="aws", say=say),
    ]
    compose = Compose(paths=paths, host=host, official=official, apt=apt, go=go, say=say)
    laptop: list[Step] = [
        LaptopProject(paths=paths, say=say),  # before the secrets, which identify a used clone
        LaptopSecrets(paths=paths, say=say),
        ReadableSources(paths=paths, say=say),
        compose,
    ]
    image = BaseImage(paths=paths, apt=apt, bundle=bundle, say=say, renew=refresh)
    wanted = IMAGES.get(purpose, NAMES)
    images = [ProjectImage(paths=paths, image=name, say=say) for name in wanted]
    return [
        *always,
        image,
        *images,
        *(pulumi if purpose in ("all", "up", "test") else []),
        *(laptop if purpose in ("all", "dev", "test") else []),
        *([Browser(apt=apt, programs=BROWSER)] if purpose == "test" else []),
    ]


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up; return the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.setup", description=__doc__)
    parser.add_argument("--for", dest="purpose", choices=PURPOSES, default="all")
    parser.add_argument(
        "--refresh", action="store_true", help="make the images again with Debian's updates"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        paths = Paths.find()
        other_clone.leave(os.environ, paths.repository)
        host = detect()
        Platform(paths=paths, host=host).check()  # before the first file is written
        with _alone(paths):
            todo = steps(options.purpose, paths=paths, host=host, refresh=options.refresh)
            installed = run_steps(todo, say)
            for name in image_names.remove_unused(paths):
                say(f"• removed {name}, which no clone uses any more")
    except SetupError as error:
        print(f"✗ {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("✗ interrupted; run the same command to continue", file=sys.stderr)
        return 130
    outcome = f"{len(installed)} step(s) done" if installed else "nothing to do"
    say(f"set-up: {outcome}, {time.monotonic() - started:.1f} s")
    return 0


@contextmanager
def _alone(paths: Paths) -> Generator[None, None, None]:
    """Let one set-up at a time use the cache; the kernel frees the lock of one that dies."""
    paths.cache.mkdir(parents=True, exist_ok=True)
    with (paths.cache / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("• waits for another set-up that is running")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _program(paths: Paths, name: str) -> str:
    search = f"{paths.programs}{os.pathsep}{os.environ.get('PATH', '')}"
    return shutil.which(name, path=search) or name


if __name__ == "__main__":
    sys.exit(main())

"""The base image: Debian's official one, or the same made here from Debian's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tools import image_names
from tools.certificates import private_certificates
from tools.errors import SetupError
from tools.paths import DIGEST_LENGTH, digest_of_folder
from tools.process import last_lines, probe, run_logged
from tools.root import as_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.packages import Apt
    from tools.paths import Paths

REPOSITORY = f"{image_names.PREFIX}{image_names.BASE}"
RELEASE = "trixie"
NEWEST = f"{REPOSITORY}:{RELEASE}"
"""Another name of the newest one, which a Dockerfile takes if it is built by hand."""
OFFICIAL_ROOTFS = f"debian:{RELEASE}-slim"
OWN_ROOTFS = f"dairflow/rootfs:{RELEASE}"
MAX_AGE = timedelta(days=30)
RETRY_AFTER = timedelta(days=1)
"""How long a renewal that failed is not tried again."""

ANSWER_TIMEOUT_SECONDS = 8
PULL_TIMEOUT_SECONDS = 300
BUILD_TIMEOUT_SECONDS = 900
DOCKER_TIMEOUT_SECONDS = 30

_TIME = "%Y%m%d%H%M%S"


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """`dairflow/base:RECIPE-TIME` in this machine's engine, made again when it is a month old.

    Its name ends with the recipe's digest and the time, so the images that start from it have
    another content, and another name, after a renewal.
    """

    paths: Paths
    apt: Apt
    bundle: tuple[Path, str] | None
    """The CA bundle of this machine, and the setting that names it."""
    say: Callable[[str], None]
    renew: bool = False
    """Make it again whatever its age."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    name: str = "base image"

    def check(self) -> str | None:
        """Return the image's name if the engine has a recent one that the program finds."""
        newest = self._newest()
        if newest is None or self._is_due(newest):
            return None
        known = image_names.recorded(self.paths).get(image_names.BASE)
        return newest if known == newest else None

    def recipe(self) -> str:
        """Return the digest of what the image is made from, but for Debian's packages."""
        certificates = "".join(self._certificates())
        parts = (digest_of_folder(self._folder), RELEASE, certificates)
        return sha256("\n".join(parts).encode()).hexdigest()[: image_names.CONTENT_DIGITS]

    def install(self) -> None:
        """Make it if there is none, or if it is old; a renewal by age may fail.

        Raises SetupError.
        """
        newest = self._newest()
        if newest is None:
            self._make()
        elif self._is_due(newest):
            self._renew(newest)
        newest = self._newest()
        if newest is not None:
            probe(["docker", "tag", newest, NEWEST], timeout=DOCKER_TIMEOUT_SECONDS)
            image_names.record(self.paths, image_names.BASE, newest)

    def _renew(self, old: str) -> None:
        made = _time_of(old)
        self.say(f"• {self.name}: renews that of {made:%Y-%m-%d}, for Debian's updates")
        try:
            self._make()
        except SetupError as error:
            if self.renew:
                raise
            self._attempted.parent.mkdir(parents=True, exist_ok=True)
            self._attempted.touch()
            os.utime(self._attempted, (self.now.timestamp(), self.now.timestamp()))
            self.say(
                f"  {self.name}: cannot be renewed, so that of {made:%Y-%m-%d} stays in use; "
                f"`make refresh` tries again. The reason:\n{error}"
            )

    def _make(self) -> None:
        """Pull Debian, or make it with mmdebstrap; then add certificates."""
        refusal = self._pull()
        if refusal is None:
            rootfs = OFFICIAL_ROOTFS
        else:
            self._bootstrap(refusal)
            rootfs = OWN_ROOTFS
        self._build(rootfs)
        if rootfs == OWN_ROOTFS:
            # Only the tag goes: the layer is the base image's first.
            probe(["docker", "image", "rm", "--no-prune", OWN_ROOTFS], timeout=60)

    def _newest(self) -> str | None:
        command = ["docker", "image", "ls", "--format", "{{.Tag}}", REPOSITORY]
        answer = probe(command, timeout=DOCKER_TIMEOUT_SECONDS)
        mine = [tag for tag in answer.stdout.split() if tag.startswith(f"{self.recipe()}-")]
        return f"{REPOSITORY}:{max(mine)}" if mine else None

    def _is_due(self, newest: str) -> bool:
        made = _time_of(newest)
        if self.renew:
            return made < self.now
        if self.now - made < MAX_AGE:
            return False
        try:
            tried = datetime.fromtimestamp(self._attempted.stat().st_mtime, UTC)
        except OSError:
            return True
        return self.now - tried >= RETRY_AFTER

    @property
    def _attempted(self) -> Path:
        return self.paths.cache / "base-image-renewal"

    @property
    def _folder(self) -> Path:
        return self.paths.repository / "tools" / "base"

    def _certificates(self) -> list[str]:
        return [] if self.bundle is None else private_certificates(self.bundle[0])

    def _pull(self) -> str | None:
        """Pull the official image; return None, or why it was not to be had."""
        self.say(f"• {self.name}: pulls {OFFICIAL_ROOTFS}")
        log = self.paths.logs / "base-image-pull.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w+b") as output:
            process = subprocess.Popen(
                ["docker", "pull", OFFICIAL_ROOTFS],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                answered = _wait(process, log)
            finally:
                process.kill()
                process.wait()
        if not answered:
            return f"no answer in {ANSWER_TIMEOUT_SECONDS} s"
        if process.returncode != 0:
            return last_lines(log, 1)
        return None

    def _bootstrap(self, refusal: str) -> None:
        self.say(
            f"• {self.name}: {OFFICIAL_ROOTFS} cannot be pulled ({refusal}), "
            "so mmdebstrap makes it from Debian's packages (about 40 s)"
        )
        wanted = {
            "mmdebstrap": "/usr/bin/mmdebstrap",
            "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
        }
        missing = [package for package, file in wanted.items() if not Path(file).exists()]
        if missing:
            self.apt.install(missing, why=self.name)
        with tempfile.TemporaryDirectory(prefix="dairflow-base-") as folder:
            archive = Path(folder) / "rootfs.tar"
            run_logged(
                as_root(
                    *bootstrap_command(archive, host_mirrors()),
                    host=self.apt.host,
                    say=self.say,
                    why=self.name,
                ),
                log=self.paths.logs / "base-image-mmdebstrap.log",
                timeout=BUILD_TIMEOUT_SECONDS,
                say=self.say,
            )
            run_logged(
                ["docker", "import", str(archive), OWN_ROOTFS],
                log=self.paths.logs / "base-image-import.log",
                timeout=PULL_TIMEOUT_SECONDS,
                say=self.say,
            )

    def _build(self, rootfs: str) -> None:
        certificates = self._certificates()
        if certificates and self.bundle:
            bundle, setting = self.bundle
            self.say(
                f"• {self.name}: {len(certificates)} certificate(s) of {bundle} go into it, "
                f"because {setting} names that bundle"
            )
        with tempfile.TemporaryDirectory(prefix="dairflow-base-") as folder:
            context = Path(folder) / "context"
            shutil.copytree(self._folder, context)
            (context / "certificates").mkdir()
            for certificate in certificates:
                name = sha256(certificate.encode()).hexdigest()[:DIGEST_LENGTH]
                (context / "certificates" / f"dairflow-{name}.crt").write_text(certificate)
            run_logged(
                [
                    *image_names.build_command(self.paths),
                    *("--tag", f"{REPOSITORY}:{self.recipe()}-{self.now:{_TIME}}"),
                    *("--build-arg", f"ROOTFS={rootfs}", "--build-arg", f"MADE={self.now:{_TIME}}"),
                    *("--file", str(context / "Dockerfile"), str(context)),
                ],
                log=self.paths.logs / "base-image-build.log",
                timeout=BUILD_TIMEOUT_SECONDS,
                say=self.say,
                cwd=self.paths.repository,
            )


def _time_of(reference: str) -> datetime:
    """Return when a base image was made, which is the end of its name."""
    return datetime.strptime(reference.rpartition("-")[2], _TIME).replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Mirrors:
    """Where this machine gets Debian's packages from."""

    archive: str
    security: str


def host_mirrors(sources: Path = Path("/etc/apt")) -> Mirrors | None:
    """Return the mirrors of a Debian machine; None on another distribution.

    mmdebstrap then takes Debian's own.
    """
    texts = [
        *(file.read_text() for file in sorted(sources.glob("sources.list"))),
        *(file.read_text() for file in sorted(sources.glob("sources.list.d/*.list"))),
        *(file.read_text() for file in sorted(sources.glob("sources.list.d/*.sources"))),
    ]
    text = "\n".join(line for part in texts for line in part.splitlines() if line[:1] != "#")
    addresses = re.findall(r"https?://\S+", text)
    archive = next((found for found in addresses if found.rstrip("/").endswith("/debian")), None)
    security = next(
        (found for found in addresses if found.rstrip("/").endswith("/debian-security")), None
    )
    if archive is None or security is None:
        return None
    return Mirrors(archive=archive, security=security)


def bootstrap_command(archive: Path, mirrors: Mirrors | None) -> list[str]:
    """Return the mmdebstrap call that writes Debian's smallest useful system to `archive`."""
    lines = (
        []
        if mirrors is None
        else [
            f"deb {mirrors.archive} {RELEASE} main",
            f"deb {mirrors.archive} {RELEASE}-updates main",
            f"deb {mirrors.security} {RELEASE}-security main",
        ]
    )
    return [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--include=ca-certificates"),
        *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
        *("--dpkgopt=path-include=/usr/share/doc/*/copyright",),
        *("--dpkgopt=path-exclude=/usr/share/locale/*", '--aptopt=Acquire::Languages "none"'),
        *("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",),
        *(RELEASE, str(archive), *lines),
    ]


def _wait(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait for a pull; return False when no word came from the registry at first.

    A registry that is cut off by a firewall is not refused but ignored: the engine itself would
    wait for minutes.
    """
    started = time.monotonic()
    while True:
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - started
            if elapsed > ANSWER_TIMEOUT_SECONDS and log.stat().st_size == 0:
                return False
            if elapsed > PULL_TIMEOUT_SECONDS:
                message = f"`docker pull {OFFICIAL_ROOTFS}` was not done in {elapsed:.0f} s."
                raise SetupError(message) from None
        else:
            return True

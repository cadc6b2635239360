"""The base image: Debian's official one, or the same made here from Debian's packages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tools.certificates import private_certificates
from tools.errors import SetupError
from tools.paths import DIGEST_LENGTH, digest_of_folder
from tools.process import last_lines, probe, run_logged
from tools.root import as_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.packages import Apt
    from tools.paths import Paths

IMAGE = "dairflow/base:trixie"
OFFICIAL_ROOTFS = "debian:trixie-slim"
OWN_ROOTFS = "dairflow/rootfs:trixie"
RELEASE = "trixie"
LABEL = "dairflow.recipe"

ANSWER_TIMEOUT_SECONDS = 8
PULL_TIMEOUT_SECONDS = 300
BUILD_TIMEOUT_SECONDS = 900
DOCKER_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """`dairflow/base:trixie` in this machine's engine."""

    paths: Paths
    apt: Apt
    bundle: tuple[Path, str] | None
    """The CA bundle of this machine, and the setting that names it."""
    say: Callable[[str], None]
    name: str = "base image"

    def check(self) -> str | None:
        """Return the image's name when the engine has it from the present recipe."""
        command = ["docker", "image", "inspect", IMAGE, "--format", "{{json .Config.Labels}}"]
        answer = probe(command, timeout=DOCKER_TIMEOUT_SECONDS)
        if answer.returncode != 0:
            return None
        labels: dict[str, str] = json.loads(answer.stdout) or {}
        return IMAGE if labels.get(LABEL) == self.recipe() else None

    def recipe(self) -> str:
        """Return the digest of what the image is made from; it is the image's label."""
        certificates = "".join(self._certificates())
        parts = (digest_of_folder(self._folder), RELEASE, certificates)
        return sha256("\n".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]

    def install(self) -> None:
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
                    *("docker", "build", "--force-rm", "--tag", IMAGE),
                    *("--build-arg", f"ROOTFS={rootfs}", "--label", f"{LABEL}={self.recipe()}"),
                    str(context),
                ],
                log=self.paths.logs / "base-image-build.log",
                timeout=BUILD_TIMEOUT_SECONDS,
                say=self.say,
            )


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

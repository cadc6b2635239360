"""Go: found, or got; used only to build what cannot be downloaded."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tools import versions
from tools.errors import SetupError
from tools.process import probe, run_logged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tools.packages import Apt

TOOLCHAIN_SWITCH = "1.21"
"""The first Go that fetches another Go by itself (go.dev/doc/toolchain)."""

PROBE_TIMEOUT_SECONDS = 20
DOWNLOAD_TIMEOUT_SECONDS = 600
BUILD_TIMEOUT_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Go:
    """A Go command that builds with version `versions.GO` or newer."""

    program: Path
    toolchain: str
    """The value of GOTOOLCHAIN to run it with."""

    def environment(self) -> dict[str, str]:
        """Return the variables of a build that depends on nothing but its pinned modules.

        A GOROOT that was set for another Go would give this one the wrong compiler.
        """
        return {
            **{name: value for name, value in os.environ.items() if name != "GOROOT"},
            "GOTOOLCHAIN": self.toolchain,
            "GOFLAGS": "-mod=readonly -buildvcs=false",
            "GOWORK": "off",
            "CGO_ENABLED": "0",
        }

    def build(
        self,
        *,
        module: Path,
        package: str,
        output: Path,
        variables: dict[str, str],
        log: Path,
        say: Callable[[str], None],
    ) -> None:
        """Build a program from the modules that `module`'s go.sum pins.

        `variables` are set in the program by the linker. Raises SetupError.
        """
        settings = " ".join(f"-X {name}={value}" for name, value in variables.items())
        run_logged(
            [
                *(str(self.program), "build", "-ldflags", f"-s -w {settings}".strip()),
                *("-o", str(output), package),
            ],
            log=log,
            timeout=BUILD_TIMEOUT_SECONDS,
            say=say,
            env=self.environment(),
            cwd=module,
        )

    def module_folder(self, module: Path, path: str) -> Path:
        """Return where Go has unpacked a module that `module` requires; downloads it if needed."""
        answer = probe(
            [str(self.program), "-C", str(module), "mod", "download", "-json", path],
            timeout=DOWNLOAD_TIMEOUT_SECONDS,
            env=self.environment(),
        )
        try:
            return Path(json.loads(answer.stdout)["Dir"])
        except (ValueError, KeyError) as error:
            output = (answer.stderr or answer.stdout).strip()
            message = f"Go cannot download the module {path}:\n{output}"
            raise SetupError(message) from error


@dataclass(frozen=True, kw_only=True)
class GoFinder:
    """Finds a Go that is new enough, or gets one."""

    apt: Apt
    say: Callable[[str], None]
    programs: Callable[[], list[Path]] = field(default_factory=lambda: installed_programs)

    def find(self) -> Go:
        """Return a Go that builds what is needed; raises SetupError when none can be had."""
        found = self._usable(self.programs())
        if found is None:
            self.apt.install(["golang-go"], why=f"Go {versions.GO} or newer (to build programs)")
            found = self._usable(self.programs())
        if found is None:
            message = (
                f"Go {versions.GO} or newer is needed to build Pulumi's command line, and none "
                f"was found. Put `go` on PATH, or unpack it to /usr/local/go."
            )
            raise SetupError(message)
        return found

    def _usable(self, programs: Iterable[Path]) -> Go | None:
        known = [(version_of(program), program) for program in programs]
        present = sorted(
            ((versions.parse(text) or (), program) for text, program in known if text),
            reverse=True,
        )
        if not present:
            return None
        newest, program = present[0]
        text = ".".join(map(str, newest))
        if versions.at_least(text, versions.GO):
            return Go(program=program, toolchain="local")
        if versions.at_least(text, TOOLCHAIN_SWITCH):
            self.say(f"• Go: {text} is here, and fetches {versions.GO} as its own module")
            return Go(program=program, toolchain=f"go{versions.GO}")
        return self._fetch_toolchain(program, text)

    def _fetch_toolchain(self, old: Path, version: str) -> Go:
        """Let a Go from before toolchain switching download the toolchain like any module."""
        architecture = self.apt.host.architecture
        name = f"golang.org/toolchain@v0.0.1-go{versions.GO}.linux-{architecture}"
        self.say(f"• Go: {version} is here, and is too old; it downloads {name}")
        answer = probe(
            [str(old), "mod", "download", "-json", name],
            timeout=DOWNLOAD_TIMEOUT_SECONDS,
            env={**os.environ, "GOFLAGS": "-modcacherw", "GO111MODULE": "on"},
        )
        try:
            folder = Path(json.loads(answer.stdout)["Dir"])
        except (ValueError, KeyError) as error:
            message = f"Go {version} cannot download {name}:\n{answer.stderr or answer.stdout}"
            raise SetupError(message) from error
        _finish_toolchain(folder)
        return Go(program=folder / "bin" / "go", toolchain="local")


def installed_programs() -> list[Path]:
    """Return every `go` in the places where Go is usually put."""
    on_path = shutil.which("go")
    candidates = [
        *([Path(on_path)] if on_path else []),
        Path("/usr/local/go/bin/go"),
        Path("/usr/lib/go/bin/go"),
        *Path("/usr/lib").glob("go-*/bin/go"),
        *(Path.home() / "sdk").glob("go*/bin/go"),
    ]
    return [path for path in dict.fromkeys(candidates) if os.access(path, os.X_OK)]


def version_of(program: Path) -> str | None:
    """Return a Go's own version, without letting it switch to another."""
    answer = probe(
        [str(program), "version"],
        timeout=PROBE_TIMEOUT_SECONDS,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    return answer.stdout.split("go version go", 1)[-1].split()[0] if answer.stdout else None


def _finish_toolchain(folder: Path) -> None:
    """Do to an unpacked toolchain what Go does on a switch (cmd/go/internal/toolchain/select.go).

    A module's archive keeps no executable bits, and cannot contain another go.mod.
    """
    for pattern in ("bin/*", "pkg/tool/*/*"):
        for program in folder.glob(pattern):
            program.chmod(0o755)
    for hidden in folder.glob("*/_go.mod"):
        visible = hidden.with_name("go.mod")
        if not visible.exists():
            hidden.parent.chmod(0o755)
            shutil.copyfile(hidden, visible)

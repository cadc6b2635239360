"""Pulumi's command line and its Python language host."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import versions
from tools.official import UnreachableError
from tools.paths import digest_of_files, filling
from tools.process import probe, run_logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.golang import GoFinder
    from tools.host import Host
    from tools.official import Official
    from tools.paths import Paths

CLI = "pulumi"
LANGUAGE_HOST = "pulumi-language-python"
LANGUAGE_EXECUTOR = "pulumi-language-python-exec"
DYNAMIC_PROVIDER = "pulumi-resource-pulumi-python"
PROGRAMS = (CLI, LANGUAGE_HOST, LANGUAGE_EXECUTOR, DYNAMIC_PROVIDER)

CLI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
VERSION_VARIABLE = f"{SDK_MODULE}/go/common/version.Version"
LANGUAGE_HOST_PACKAGE = f"{SDK_MODULE}/python/cmd/pulumi-language-python"

VERSION_TIMEOUT_SECONDS = 20
UNPACK_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """`pulumi` of the SDK's version, with what it needs to run Python programs."""

    paths: Paths
    host: Host
    official: Official
    go: GoFinder
    say: Callable[[str], None]
    name: str = "Pulumi"

    def check(self) -> str | None:
        """Return where Pulumi is, or None when there is none of the right version."""
        if all((self.paths.programs / name).exists() for name in PROGRAMS):
            folder = (self.paths.programs / CLI).resolve().parent
            return f"{versions.PULUMI} ({folder})"
        if users_own := self._on_path():
            return f"{users_own} (your own)"
        return None

    def install(self) -> None:
        """Link the cached one; else download it; else build it."""
        for folder in (self._official_folder, self._built_folder):
            if folder.is_dir():
                self._link(folder)
                return
        try:
            self._download()
        except UnreachableError as refusal:
            self._build(str(refusal))

    def _on_path(self) -> Path | None:
        """Return the user's own `pulumi` if it can run this project."""
        search = os.pathsep.join(
            folder
            for folder in os.environ.get("PATH", "").split(os.pathsep)
            if Path(folder) != self.paths.programs
        )
        found = shutil.which(CLI, path=search)
        if found is None:
            return None
        beside = f"{Path(found).resolve().parent}{os.pathsep}{search}"
        if any(shutil.which(name, path=beside) is None for name in PROGRAMS):
            return None
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        answer = probe([found, "version"], timeout=VERSION_TIMEOUT_SECONDS, env=environment)
        return Path(found) if versions.compatible(answer.stdout, versions.PULUMI) else None

    @property
    def _official_folder(self) -> Path:
        return self.paths.cached("pulumi", versions.PULUMI, "official")

    @property
    def _built_folder(self) -> Path:
        files = [
            self._module(name) / file
            for name in ("pulumi", "language_host")
            for file in ("go.mod", "go.sum", "tools.go")
        ]
        return self.paths.cached("pulumi", versions.PULUMI, digest_of_files(*files))

    def _module(self, name: str) -> Path:
        return self.paths.repository / "tools" / "go_modules" / name

    def _download(self) -> None:
        architecture = {"amd64": "x64"}.get(self.host.architecture, self.host.architecture)
        system = self.host.system.lower()
        releases = "https://get.pulumi.com/releases/sdk"
        url = f"{releases}/pulumi-v{versions.PULUMI}-{system}-{architecture}.tar.gz"
        self.official.require("get.pulumi.com")
        self.say(f"• {self.name}: downloads {url} to {self._official_folder}")
        with filling(self._official_folder) as folder:
            archive = folder.with_suffix(".tar.gz")
            digests = f"{releases}/pulumi-{versions.PULUMI}-checksums.txt"
            self.official.fetch_verified(url, archive, digests=digests)
            run_logged(
                [
                    *("tar", "--extract", "--gzip", "--file", str(archive)),
                    *("--directory", str(folder), "--strip-components=1"),
                ],
                log=self.paths.logs / "pulumi-unpack.log",
                timeout=UNPACK_TIMEOUT_SECONDS,
                say=self.say,
            )
            archive.unlink()
        self._link(self._official_folder)

    def _build(self, refusal: str) -> None:
        go = self.go.find()
        self.say(
            f"• {self.name}: cannot be downloaded ({refusal}), so it is built from its Go modules "
            f"with {go.program}: once, about 6 minutes on two cores. It goes to "
            f"{self._built_folder}; Go keeps its own caches where `go env` says"
        )
        with filling(self._built_folder) as folder:
            version = {VERSION_VARIABLE: f"v{versions.PULUMI}"}
            for module, package, program in (
                ("language_host", LANGUAGE_HOST_PACKAGE, LANGUAGE_HOST),
                ("pulumi", CLI_PACKAGE, CLI),
            ):
                go.build(
                    module=self._module(module),
                    package=package,
                    output=folder / program,
                    variables=version,
                    log=self.paths.logs / f"{program}-build.log",
                    say=self.say,
                )
            sources = go.module_folder(self._module("pulumi"), SDK_MODULE) / "python"
            for script in (
                sources / "cmd" / LANGUAGE_EXECUTOR,
                sources / "dist" / DYNAMIC_PROVIDER,
            ):
                shutil.copyfile(script, folder / script.name)
                (folder / script.name).chmod(0o755)
        self._link(self._built_folder)

    def _link(self, folder: Path) -> None:
        self.paths.programs.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            link = self.paths.programs / name
            link.unlink(missing_ok=True)
            link.symlink_to(folder / name)

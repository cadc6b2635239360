"""Conda's part of ``airflow_env``: solved, locked and installed by rattler."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import rattler
from rattler import (
    BuildString,
    Channel,
    Client,
    Config,
    Gateway,
    GenericVirtualPackage,
    LockChannel,
    LockFile,
    LockPlatform,
    PackageName,
    Subdir,
    Version,
)
from rattler.exceptions import GatewayError, InstallerError, SolverError

from airflow_env import locks
from airflow_env.conflicts import explain
from airflow_env.errors import BuildError, announce
from airflow_env.requirements import Requirement, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rattler import RepoDataRecord

    from airflow_env import channels

SOLVE_TIMEOUT = timedelta(minutes=5)
OLDEST_KERNEL = "5.10"
GLIBC = "2.41"
"""Debian trixie's: the image's."""

_ENVIRONMENT = "default"


@dataclass(kw_only=True)
class Solver:
    """Looks for packages in channels, first one first; keeps what it fetched in ``cache``."""

    channels: Sequence[channels.Channel]
    cache: Path

    def __post_init__(self) -> None:
        """Open a client that trusts the system's certificates, a proxy's included."""
        self.config = Config.from_toml('tls-root-certs = "all"')
        self.client = Client.from_config(self.config)
        self.gateway = Gateway(cache_dir=self.cache, client=self.client)
        self.platforms = [Subdir.current(), Subdir("noarch")]
        self.sources = [Channel(each.address) for each in self.channels]

    async def solve(
        self,
        requirements: Sequence[Requirement],
        preferred: Sequence[RepoDataRecord] = (),
    ) -> list[RepoDataRecord]:
        """Return the packages that satisfy the requirements, the preferred ones where possible.

        Raises:
            SolverError: when there are none; see ``conflicts.explain``.
            BuildError: when a channel stopped answering.

        """
        try:
            return await rattler.solve(
                self.sources,
                [each.spec for each in requirements],
                gateway=self.gateway,
                platforms=self.platforms,
                locked_packages=preferred,
                virtual_packages=machine(),
                timeout=SOLVE_TIMEOUT,
            )
        except GatewayError as error:
            message = f"a conda channel stopped answering: {error}\nRun the same command again."
            raise BuildError(message) from error

    async def versions(self, requirement: Requirement) -> list[str]:
        """Return the versions of a package that the channels have, the oldest first."""
        answer = await self.gateway.query(
            self.sources, self.platforms, [requirement.spec.name.normalized], recursive=False
        )
        found = {record.version for records in answer for record in records}
        return [str(version) for version in sorted(found)]

    async def names(self) -> list[str]:
        """Return the names of all packages of the channels."""
        answer = await self.gateway.names(self.sources, self.platforms)
        return sorted({name.normalized for name in answer})

    async def install(self, records: Sequence[RepoDataRecord], prefix: Path) -> None:
        """Download the packages, check their digests, and lay them out in ``prefix``.

        Raises:
            BuildError: when a package cannot be fetched, or is another than was locked.

        """
        try:
            await rattler.install(
                list(records),
                prefix,
                cache_dir=self.cache,
                client=self.client,
                execute_link_scripts=False,
                show_progress=False,
            )
        except InstallerError as error:
            message = (
                f"conda's packages could not be installed: {error}\nIf one is gone from its "
                "channel, `make lock UPGRADE=1` chooses another; otherwise run it again."
            )
            raise BuildError(message) from error


def machine() -> list[GenericVirtualPackage]:
    """Return what packages may expect of the machine.

    Not this machine's own processor and kernel: the image must run on every node.
    """
    facts = [("__unix", "0", "0"), ("__linux", OLDEST_KERNEL, "0"), ("__glibc", GLIBC, "0")]
    if str(Subdir.current()) == "linux-64":
        facts.append(("__archspec", "1", "x86_64"))
    return [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
        for name, version, build in facts
    ]


def facts(
    requirements: Sequence[Requirement], sources: Sequence[channels.Channel]
) -> dict[str, str]:
    """Return what a lock has to say to be the one of these requirements and channels."""
    return {
        "requirements": digest(requirements),
        "channels": " ".join(each.public for each in sources),
        "platform": str(Subdir.current()),
    }


def read_lock(file: Path, sources: Sequence[channels.Channel]) -> list[RepoDataRecord]:
    """Return a lock's packages for this platform; empty if there is no lock for it."""
    if not file.exists():
        return []
    environment = LockFile.from_path(file).environment(_ENVIRONMENT)
    if environment is None:
        return []
    by_platform = environment.conda_repodata_records()
    records = by_platform.get(str(Subdir.current()), [])
    for record in records:
        for channel in sources:
            if record.url.startswith(f"{channel.public}/"):
                record.url = channel.restore(record.url)
    return records


def write_lock(
    file: Path,
    records: Sequence[RepoDataRecord],
    requirements: Sequence[Requirement],
    sources: Sequence[channels.Channel],
) -> None:
    """Write the packages' URLs and digests, without anybody's password."""
    platform = LockPlatform(str(Subdir.current()))
    lock = LockFile([platform])
    lock.set_channels(_ENVIRONMENT, [LockChannel(each.public) for each in sources])
    for record in records:
        for channel in sources:
            if record.url.startswith(f"{channel.address}/"):
                record.url = channel.public + record.url.removeprefix(channel.address)
                record.channel = channel.public
        lock.add_conda_package(_ENVIRONMENT, platform, record)
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "lock"
        lock.to_path(body)
        locks.write(file, facts(requirements, sources), body.read_text(encoding="utf-8"))


async def choose(
    solver: Solver, requirements: Sequence[Requirement], lock: Path, *, upgrade: bool = False
) -> list[RepoDataRecord]:
    """Return the lock's packages if it matches the requirements, else solve them again.

    Raises:
        BuildError: when the requirements contradict each other or the channels.

    """
    locked = read_lock(lock, solver.channels)
    wanted = facts(requirements, solver.channels)
    said = locks.facts(lock)
    if locked and said == wanted and not upgrade:
        announce(f"{len(locked)} conda packages by {lock.name}")
        return locked
    if not said:
        why = f"no {lock.name}"
    else:
        changed = [key for key in wanted if said.get(key) != wanted[key]] or ["versions"]
        why = f"{lock.name} is for other {' and '.join(changed)}"
    try:
        records = await solver.solve(requirements, [] if upgrade else locked)
    except SolverError as error:
        raise BuildError(await explain(solver, requirements, error)) from error
    announce(f"{len(records)} conda packages solved now ({why}; `make lock` keeps the result)")
    return records

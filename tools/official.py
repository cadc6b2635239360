"""Downloads from the programs' own makers, given up quickly where a network is closed."""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ANSWER_TIMEOUT_SECONDS = 5
STALL_TIMEOUT_SECONDS = 30
REMEMBERED_SECONDS = 24 * 3600


class UnreachableError(Exception):
    """An official source cannot be had from here; its text says why, in one line."""


@dataclass(frozen=True, kw_only=True)
class Official:
    """The official sources as this network reaches them.

    That a host cannot be reached is remembered in the cache for a day, so that a closed network
    costs its users a few seconds once. DAIRFLOW_RETRY_OFFICIAL=1 forgets it.
    """

    cache: Path
    bundle: Path | None = None
    """CA bundle of a proxy that opens TLS; None for the system's own."""
    retry: bool = False
    open_url: Callable[..., IO[bytes]] = urllib.request.urlopen
    now: Callable[[], float] = time.time
    started: float = field(default_factory=time.time)
    """When this run began: what it finds out itself holds with `retry`, too."""

    def holds(self, found_at: float) -> bool:
        """Return whether what was found out at a time (Unix seconds) need not be tried again."""
        return found_at >= (self.started if self.retry else self.now() - REMEMBERED_SECONDS)

    def require(self, host: str) -> None:
        """Raise UnreachableError when the host does not answer within a few seconds."""
        remembered = self._remembered().get(host)
        if remembered is not None:
            message = f"{remembered}; tried within the last day; DAIRFLOW_RETRY_OFFICIAL=1 retries"
            raise UnreachableError(message)
        reason = self._ask(host)
        if reason is not None:
            self._remember(host, reason)
            raise UnreachableError(reason)

    def fetch(self, url: str, destination: Path) -> None:
        """Download a file; raises UnreachableError, leaving nothing, when that fails."""
        host = urllib.parse.urlsplit(url).hostname or url
        self.require(host)
        try:
            with (
                self.open_url(url, timeout=STALL_TIMEOUT_SECONDS, context=self._tls()) as answer,  # type: ignore[attr-defined]
                destination.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
        except OSError as error:
            destination.unlink(missing_ok=True)
            message = f"{url}: {_reason(error)}"
            raise UnreachableError(message) from error

    def fetch_verified(self, url: str, destination: Path, *, digests: str) -> None:
        """Download a file whose SHA-256 digest is published at the address `digests`.

        A published file has a digest and a file name on each line, as `sha256sum` prints them.
        Raises UnreachableError, leaving nothing, when either fails or the digest is another.
        """
        self.fetch(url, destination)
        published = destination.with_name(f"{destination.name}.digests")
        try:
            self.fetch(digests, published)
            lines = [line.split() for line in published.read_text(errors="replace").splitlines()]
            _require_digest(url, destination, lines)
        except UnreachableError:
            destination.unlink()
            raise
        finally:
            published.unlink(missing_ok=True)

    def _ask(self, host: str) -> str | None:
        """Return why a host cannot be reached, or None.

        On a thread, because the time limit of a connection does not cover the name's look-up.
        """
        answers: list[str | None] = []

        def ask() -> None:
            try:
                self.open_url(
                    urllib.request.Request(f"https://{host}/", method="HEAD"),
                    timeout=ANSWER_TIMEOUT_SECONDS,
                    context=self._tls(),
                )
            except urllib.error.HTTPError:
                answers.append(None)  # an answer, whatever it says
            except OSError as error:
                answers.append(f"{host}: {_reason(error)}")
            else:
                answers.append(None)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(ANSWER_TIMEOUT_SECONDS)
        return answers[0] if answers else f"{host}: no answer in {ANSWER_TIMEOUT_SECONDS} s"

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.bundle)

    @property
    def _memory(self) -> Path:
        return self.cache / "unreachable.json"

    def _remembered(self) -> dict[str, str]:
        try:
            entries: dict[str, dict[str, object]] = json.loads(self._memory.read_text())
            return {
                host: str(entry["reason"])
                for host, entry in entries.items()
                if self.holds(float(str(entry["at"])))
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _remember(self, host: str, reason: str) -> None:
        known = {**self._remembered(), host: reason}
        entries = {name: {"reason": text, "at": self.now()} for name, text in known.items()}
        self.cache.mkdir(parents=True, exist_ok=True)
        self._memory.write_text(json.dumps(entries, indent=2) + "\n")


def _require_digest(url: str, file: Path, published: Sequence[Sequence[str]]) -> None:
    name = urllib.parse.urlsplit(url).path.rpartition("/")[2]
    expected = [line[0] for line in published if line and line[-1].lstrip("*") == name]
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if expected != [found]:
        message = f"{url} has the digest {found}, and {expected or 'none'} is published"
        raise UnreachableError(message)


def _reason(error: OSError) -> str:
    return str(error.reason if isinstance(error, urllib.error.URLError) else error)

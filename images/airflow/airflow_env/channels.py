"""Conda channels: which ones, and whether they answer."""

from __future__ import annotations

import re
import ssl
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from airflow_env.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = "conda-forge"
NONE = "none"
"""The value of CONDA_CHANNELS that asks for the way without a channel."""

ALIAS = "https://conda.anaconda.org"
ANACONDA = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
ANSWER_TIMEOUT_SECONDS = 8


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A folder of packages on a server."""

    address: str
    """Its URL, with a user's name and password if it was given with them."""

    @property
    def public(self) -> str:
        """The URL without the password: all that a lock file, a message or the image may have."""
        parts = urlsplit(self.address)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def restore(self, url: str) -> str:
        """Return the URL of one of this channel's files with the password that the lock lacks."""
        return self.address + url.removeprefix(self.public)


def parse(text: str) -> list[Channel]:
    """Read CONDA_CHANNELS: names or URLs, with commas or spaces between them, the first one first.

    Raises:
        BuildError: for what is neither.

    """
    channels: list[Channel] = []
    for word in re.split(r"[\s,]+", text.strip()):
        if word == "defaults":
            channels += [Channel(address=address) for address in ANACONDA]
        elif re.fullmatch(r"(https?|file)://\S+", word):
            channels.append(Channel(address=word.rstrip("/")))
        elif re.fullmatch(r"[\w.-]+(/[\w.-]+)*", word) and word != NONE:
            channels.append(Channel(address=f"{ALIAS}/{word}"))
        else:
            message = (
                f"CONDA_CHANNELS={text!r}: {word!r} is not a channel. Valid: names and URLs with "
                f"commas between them, such as conda-forge,https://conda.example.com/x; or {NONE}."
            )
            raise BuildError(message)
    return channels


def unreachable(channels: Sequence[Channel], *, chosen: bool) -> str | None:
    """Return why no channel can be reached, in a few words; None when all answer.

    ``chosen`` is true if the user named the channels: if a network's filter answers in place of the
    default channel, the user made no mistake.

    Raises:
        BuildError: when a server answers and has no such channel, or refuses it, and when only
            some of the channels answer: the packages would be others than asked for.

    """
    with ThreadPoolExecutor(len(channels)) as threads:
        answers = list(threads.map(_ask, channels))
    refused = [answer.refused for answer in answers if answer.refused]
    silent = [answer.silent for answer in answers if answer.silent]
    if len(silent) == len(channels) or (not chosen and (refused or silent)):
        return "; ".join((*refused, *silent))
    if refused or silent:
        message = "\n".join(
            (
                "not every conda channel can be used:",
                *(f"    {reason}" for reason in (*refused, *silent)),
                f"Correct CONDA_CHANNELS, or set it to {NONE} to take every package from PyPI.",
            )
        )
        raise BuildError(message)
    return None


@dataclass(frozen=True, kw_only=True)
class _Answer:
    refused: str | None = None
    silent: str | None = None


def _ask(channel: Channel) -> _Answer:
    parts = urlsplit(channel.address)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(f"{bare}/noarch/repodata.json", method="HEAD")  # noqa: S310 - a channel may be a folder
    # As lenient as what fetches the packages: many a company's own authority is not by the book.
    trust = ssl.create_default_context()
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    openers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=trust)]
    if parts.username:
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(
            None, bare, parts.username, parts.password or "", is_authenticated=True
        )
        openers.append(urllib.request.HTTPBasicAuthHandler(passwords))
    try:
        with urllib.request.build_opener(*openers).open(request, timeout=ANSWER_TIMEOUT_SECONDS):
            return _Answer()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}:
            return _Answer()
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _Answer(silent=f"{channel.public} answers {error.code} {error.reason}")
        return _Answer(refused=f"{channel.public}: the server answers {error.code} {error.reason}")
    except urllib.error.URLError as error:
        return _Answer(silent=f"{channel.public}: {_words(error.reason)}")
    except OSError as error:
        return _Answer(silent=f"{channel.public}: {_words(error)}")


def _words(reason: str | BaseException) -> str:
    if isinstance(reason, ssl.SSLCertVerificationError):
        why = reason.verify_message
        return f"its certificate is not trusted ({why}); a proxy's own goes into CA_BUNDLE"
    if isinstance(reason, TimeoutError):
        return f"no answer in {ANSWER_TIMEOUT_SECONDS} s"
    return (reason.strerror if isinstance(reason, OSError) else None) or str(reason)

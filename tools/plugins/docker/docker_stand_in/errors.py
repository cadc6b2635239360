"""What goes wrong on the way to Docker's engine or in it, in words for the user."""

from __future__ import annotations

SILENCE_SECONDS = 30 * 60
"""How long a build step may say nothing: package installers and compilers can be quiet."""


class EngineError(Exception):
    """Docker's engine, or a registry through it, refused or failed; the text is for the user."""


_CREDENTIALS = "Credentials store error"
"""What an error of docker-py's begins with if a credential helper is missing or fails."""


def explain(exc: Exception) -> str:
    """Say what went wrong on the way to the engine or in it, without the request itself.

    The text of the exceptions holds the request's address, and a build's address holds its
    arguments.
    """
    from requests.exceptions import Timeout
    from urllib3.exceptions import TimeoutError as HTTPTimeoutError

    explanation = getattr(exc, "explanation", None)
    if explanation:
        return str(explanation).strip()
    if isinstance(exc, (Timeout, TimeoutError, HTTPTimeoutError)):
        return f"nothing was heard of it for {SILENCE_SECONDS // 60} minutes"
    if isinstance(exc, OSError) and exc.filename:
        return f"{exc.filename}: {exc.strerror}"
    if str(exc).startswith(_CREDENTIALS):
        return (
            f"{exc}. Install the program that `credsStore` or `credHelpers` in Docker's config.json"
            " names, or remove that entry"
        )
    return f"the connection to Docker's engine was lost ({type(exc).__name__})"

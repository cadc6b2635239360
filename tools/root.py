"""Root's rights, where set-up needs them: there already, or given by `sudo`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tools.errors import SetupError
from tools.process import INTERRUPTED, SUDO, probe, run_in_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.host import Host

ANSWER_TIMEOUT_SECONDS = 15


def as_root(
    *command: str, host: Host, say: Callable[[str], None], why: str, by_hand: str = ""
) -> list[str]:
    """Return the command as it has to be run to have root's rights.

    If `sudo` requires a password, it prompts for it here, on the terminal, and remembers it for the
    programs of this terminal's session: `run_logged` and `probe` stay in it.
    Raises SetupError if there is no way to root, with the command to type (`by_hand`, else this).
    """
    if host.is_root:
        return [*command]
    typed = (
        f"As root, type:\n    {by_hand or shlex.join(command)}\nand then the same command again."
    )
    if not host.has_sudo:
        message = f"{why}: this needs root, and there is no `sudo`. {typed}"
        raise SetupError(message)
    if probe([SUDO, "-n", "true"], timeout=ANSWER_TIMEOUT_SECONDS).returncode != 0:
        _ask(say, why, typed)
    return [SUDO, *command]


def _ask(say: Callable[[str], None], why: str, typed: str) -> None:
    if not has_terminal():
        message = (
            f"{why}: this needs root, `sudo` asks for a password, and there is no terminal to type "
            f"it in. Run `make setup` in a terminal; or without: {typed}"
        )
        raise SetupError(message)
    say(f"• {why}: this needs root, so sudo asks for your password")
    status = run_in_terminal([SUDO, "-v"])
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status != 0:
        message = f"{why}: this needs root, and `sudo` does not permit it. {typed}"
        raise SetupError(message)


def has_terminal() -> bool:
    """Whether a user can answer a prompt: sudo reads passwords from here, whatever stdin is."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True

"""Shell scripts for machines: files with the suffix ``.sh`` beside the code that runs them.

A script is POSIX shell; Debian's ``/bin/sh`` is dash. Its first line is a comment that errors show
as its name. It declares each parameter by ``: "${NAME:?}"``, or ``: "${NAME?}"`` if the value may
be empty. A line ``. infra/…/name.sh`` includes another script, which shellcheck follows.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from shlex import quote

_INCLUDE = re.compile(r"^\. infra/(?P<path>\S+\.sh)$", re.MULTILINE)
_PARAMETER = re.compile(r'^: "\$\{(?P<name>[A-Z_]+):?\?\}"$', re.MULTILINE)
_DIRECTIVE = re.compile(r"^ *# shellcheck .*\n", re.MULTILINE)


def script(path: str, /, **parameters: str | float) -> str:
    """Return the command that runs the script ``infra/PATH`` with the parameters.

    They are quoted assignments before the script's own lines, so that no value is read as code.

    Raises:
        ValueError: if the parameters are not those that the script declares.

    """
    name, _, body = _text(path).partition("\n")
    declared = {found["name"] for found in _PARAMETER.finditer(body)}
    if declared != parameters.keys():
        message = f"{path} has the parameters {sorted(declared)}, not {sorted(parameters)}"
        raise ValueError(message)
    assignments = "".join(f"{key}={quote(str(value))}\n" for key, value in parameters.items())
    return f"{name}\n{assignments}{body}"


@cache
def _text(path: str) -> str:
    """Return a script's text with the included ones, without the lines for shellcheck."""
    text = (files("infra") / path).read_text()
    return _INCLUDE.sub(lambda found: _text(found["path"]).rstrip(), _DIRECTIVE.sub("", text))

"""Reads the secrets and configs that a user adds to the compose file, on the operator's machine.

The only part of rendering that reads files. The values are kept in the stack's encrypted state, and
their names on the swarm contain a hash of the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.stack.problems import Problem
from infra.stack.secrets import SECRET_NAMES
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIMITS_BYTES = {"secrets": 500 * 1_024, "configs": 1_000 * 1_024}
"""A swarm's limits (swarmkit's ``MaxSecretSize`` and ``MaxConfigSize``)."""


@dataclass(frozen=True, kw_only=True)
class OwnFiles:
    """Values by the names in the compose file."""

    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    configs: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    problems: tuple[Problem, ...] = ()


def read_own_files(
    compose: Mapping[str, Any], folder: Path, environment: Mapping[str, str]
) -> OwnFiles:
    """Read every value that is neither the project's own nor external.

    ``folder`` is the base of relative paths, ``environment`` the operator's. ``compose`` has its
    variables filled in.
    """
    problems: list[Problem] = []
    found: dict[str, dict[str, str]] = {}
    for kind in LIMITS_BYTES:
        found[kind] = {}
        for name, entry in as_object(compose.get(kind)).items():
            declared = as_object(entry)
            if not declared or is_external(declared):
                continue
            if kind == "secrets" and name in SECRET_NAMES:
                continue
            value = _value(f"{kind}.{name}", declared, folder, environment)
            if isinstance(value, Problem):
                problems.append(value)
            elif problem := _unusable(kind, name, value):
                problems.append(problem)
            else:
                found[kind][name] = value
    return OwnFiles(secrets=found["secrets"], configs=found["configs"], problems=tuple(problems))


def is_external(declared: Mapping[str, Any]) -> bool:
    """Whether a secret, config, network or volume is managed outside of the stack."""
    return declared.get("external") in (True, "true")


def _value(
    path: str, declared: Mapping[str, Any], folder: Path, environment: Mapping[str, str]
) -> str | Problem:
    if "content" in declared:
        return str(declared["content"])
    if "environment" in declared:
        variable = str(declared["environment"])
        if variable not in environment:
            return Problem(
                path=f"{path}.environment",
                given=repr(variable),
                valid="valid: a variable that is set in the shell that runs pulumi",
                advice=f"export {variable}",
            )
        return environment[variable]
    if "file" not in declared:
        return ""
    return _text_of(f"{path}.file", folder / str(declared["file"]))


def _text_of(path: str, file: Path) -> str | Problem:
    try:
        return file.expanduser().read_bytes().decode()
    except OSError as error:
        return Problem(
            path=path,
            given=repr(str(file)),
            valid=f"it cannot be read: {error.strerror}",
            advice="create the file on the machine that runs pulumi, or fix the path",
        )
    except UnicodeDecodeError:
        return Problem(
            path=path,
            given=repr(str(file)),
            valid="valid: UTF-8 text, because the state stores text",
            advice="encode the file, with base64 for example, and decode it in the service",
        )


def _unusable(kind: str, name: str, value: str) -> Problem | None:
    size = len(value.encode())
    if 0 < size <= LIMITS_BYTES[kind]:
        return None
    return Problem(
        path=f"{kind}.{name}",
        given=f"{size} bytes",
        valid=f"valid: 1 to {LIMITS_BYTES[kind]} bytes, the limits of a swarm",
    )

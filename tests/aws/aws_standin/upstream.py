"""What the upstream provider does with an input that changed, or that is left out.

``upstream.yaml`` lists the inputs. A test compares it with the installed ``pulumi_aws``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True)
class Input:
    """One input of a type; ``upstream`` and ``ours`` are words of the file's legend."""

    upstream: frozenset[str]
    ours: str

    @property
    def keeps_its_value(self) -> bool:
        """Whether AWS's value stays when the program leaves the input out."""
        return bool(self.upstream & {"computed", "default"})

    @property
    def replaces(self) -> bool:
        """Whether each change of it makes a new resource."""
        return "replaces" in self.upstream


@cache
def types() -> Mapping[str, Mapping[str, Input]]:
    """Return token → input → what is known of it; an input within another by its path."""
    listed = yaml.safe_load((Path(__file__).parent / "upstream.yaml").read_text())
    return {
        token: {
            name: Input(frozenset(upstream.split()), ours)
            for name, (upstream, ours) in inputs.items()
        }
        for token, inputs in listed.items()
    }


def served(token: str) -> frozenset[str]:
    """Return the inputs that the program gives, without those within others."""
    return frozenset(
        name for name, one in types()[token].items() if one.ours != "unused" and "." not in name
    )


def changes(token: str, state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the paths of the inputs that differ from the state. No secrets in either."""
    names = [name for name in types()[token] if "." not in name]
    given = {name: state[name] for name in names if name in state}
    return sorted(_changes(types()[token], given, wanted, ""))


def replacing(token: str, changed: Iterable[str]) -> list[str]:
    """Return which of the changes make a new resource in every case."""
    return [path for path in changed if types()[token][path].replaces]


def _changes(
    inputs: Mapping[str, Input], state: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    for name in state.keys() | wanted.keys():
        path = prefix + name
        has_parts = any(other.startswith(f"{path}.") for other in inputs)
        if name not in wanted:
            if not inputs[path].keeps_its_value:
                yield path
        elif name in state and has_parts:
            yield from _changes(inputs, state[name], wanted[name], f"{path}.")
        elif state.get(name) != wanted[name]:
            yield path


def with_what_stays(
    token: str, state: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the wanted inputs and, of those left out, what AWS keeps."""
    stay = {
        name: state[name]
        for name, one in types()[token].items()
        if "." not in name and name in state and name not in wanted and one.keeps_its_value
    }
    return {**wanted, **stay}

"""Many DAGs from one dictionary: ``${name}`` in it is replaced by a parameter."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from dag_builder.errors import Path, Problems

_PLACE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_WHOLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.]*)\}")

ForEach = Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Any]]


def instances(
    dag_id: str,
    template: Mapping[str, Any],
    for_each: ForEach,
    problems: Problems,
    defaults: Mapping[str, Any],
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The id, dictionary and defaults of each DAG of a template that is without mistakes.

    The mistakes of the others are noted, once if several DAGs have the same one.
    """
    made: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    seen: set[tuple[Path, str]] = set()
    for parameters in list(_parameter_sets(dag_id, for_each, problems)):
        found = problems.of_another()
        name = str(_filled(dag_id, parameters, (dag_id,), found))
        filled = _filled(template, parameters, (dag_id,), found)
        filled_defaults = _filled(defaults, parameters, (dag_id,), found)
        if not found:
            made.append((name, filled, filled_defaults))
        for one in found.found:
            if (one.path, one.message) not in seen:
                seen.add((one.path, one.message))
                problems.found.append(one)
    counts = Counter(name for name, _, _ in made)
    for twice in (name for name, count in counts.items() if count > 1):
        problems.add(
            (dag_id,),
            f"{counts[twice]} sets of parameters make the same DAG {twice!r}",
            given=dag_id,
            hint="put every parameter that differs into the DAG's id: 'sales_${country}'",
        )
    return [one for one in made if counts[one[0]] == 1]


def _parameter_sets(
    dag_id: str, for_each: ForEach, problems: Problems
) -> Iterator[Mapping[str, Any]]:
    path: Path = (dag_id, "for_each")
    valid = "[{country: fr}, {country: de}] or {country: [fr, de]}"
    if isinstance(for_each, Mapping):
        mapping = cast("Mapping[str, Any]", for_each)
        wrong = [name for name, values in mapping.items() if not isinstance(values, list | tuple)]
        for name in wrong:
            problems.add((*path, name), "this must be a list", given=mapping[name], valid=valid)
        if not wrong:
            for values in itertools.product(*mapping.values()):
                yield dict(zip(mapping, values, strict=True))
        return
    given = cast("object", for_each)
    if isinstance(given, str) or not isinstance(given, Iterable):
        problems.add(path, "these are not sets of parameters", given=given, valid=valid)
        return
    for index, parameters in enumerate(cast("Iterable[object]", given)):
        if isinstance(parameters, Mapping):
            yield cast("Mapping[str, Any]", parameters)
        else:
            problems.add((*path, index), "this must be a mapping", given=parameters, valid=valid)


def _filled(value: Any, parameters: Mapping[str, Any], path: Path, problems: Problems) -> Any:
    if isinstance(value, str):
        return _filled_text(value, parameters, path, problems)
    if isinstance(value, Mapping):
        result: dict[Any, Any] = {}
        for key, item in cast("Mapping[str, Any]", value).items():
            name, inner = _filled(key, parameters, path, problems), (*path, str(key))
            if not isinstance(name, Hashable):
                problems.add(inner, "this is not a valid name for a key", given=name, on_key=True)
                continue
            if name in result:
                problems.add(
                    inner, f"the key {name!r} is there twice with these parameters", on_key=True
                )
            result[name] = _filled(item, parameters, inner, problems)
        return result
    if isinstance(value, list):
        return [
            _filled(item, parameters, (*path, index), problems)
            for index, item in enumerate(cast("list[Any]", value))
        ]
    return value


def _filled_text(text: str, parameters: Mapping[str, Any], path: Path, problems: Problems) -> Any:
    if "${" not in text:
        return text
    whole = _WHOLE.fullmatch(text)
    if whole:
        return _parameter(whole[1], parameters, path, problems)

    def replaced(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        return str(_parameter(match[1], parameters, path, problems))

    return _PLACE.sub(replaced, text)


def _parameter(name: str, parameters: Mapping[str, Any], path: Path, problems: Problems) -> Any:
    value: Any = parameters
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            problems.add_unknown(
                path,
                f"there is no parameter {name!r}; for a shell's write $${{{name}}}",
                name,
                [str(key) for key in parameters],
            )
            return ""
        value = cast("Mapping[str, Any]", value)[part]
    return value


__all__ = ["ForEach", "instances"]

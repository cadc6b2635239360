"""Types of an operator's arguments, from its signature's annotations.

Whatever is given is checked or converted in the same way beside the operator, in default_args,
operator_defaults, partial, expand and expand_kwargs. An annotation with a type that is not listed
here accepts every value: a type that this module does not recognise refuses nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dag_builder.errors import NOTHING, Path
from dag_builder.fields import COMMON_ARGUMENTS, TASK_FIELDS, Kind

if TYPE_CHECKING:
    import inspect

    from dag_builder.read.values import Reader

#: Types of values that hold nothing else.
SCALARS = frozenset({str, int, float, bool, type(None)})
_LISTS = frozenset({list, tuple, set, frozenset})
#: Types that can be written in YAML, so that one of the wrong type is a mistake. Other objects
#: (a template, an XComArg, an ArgNotSet) are checked by Airflow.
_WRITTEN = SCALARS | _LISTS | {dict}

#: The values that each part of an annotation accepts as they are.
_ACCEPTED: dict[str, frozenset[type]] = {
    "bool": frozenset({bool}),
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "str": frozenset({str}),
    "None": frozenset({type(None)}),
    "NoneType": frozenset({type(None)}),
    "PathLike": frozenset({str}),
    "Path": frozenset({str}),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), frozenset({dict})),
    **dict.fromkeys(
        ("list", "List", "tuple", "Tuple", "set", "Set", "Sequence", "Iterable", "Collection"),
        _LISTS,
    ),
    "Container": _LISTS,
    "MutableSequence": _LISTS,
    **dict.fromkeys(("ArgNotSet", "XComArg", "ParamsDict"), frozenset()),
    **dict.fromkeys(("timedelta", "datetime", "date", "time", "Callable"), frozenset()),
}
#: Parts of an annotation that text is converted to, unless the annotation accepts text.
_CONVERTED = {
    "timedelta": Kind.DIFFERENCE,
    "datetime": Kind.MOMENT,
    "time": Kind.TIME,
    "Callable": Kind.CALLABLE,
}
_WORDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "a mapping",
    list: "a list",
    type(None): "null",
}
_TEMPLATE_MARKS = ("{{", "{%")
#: The plain types of the builder's own kinds.
_OF_KIND: dict[Kind, frozenset[type]] = {
    Kind.TEXT: frozenset({str, type(None)}),
    Kind.INTEGER: frozenset({int, type(None)}),
    Kind.NUMBER: frozenset({int, float, type(None)}),
    Kind.BOOLEAN: frozenset({bool, type(None)}),
}
_NULL = frozenset({type(None)})


@dataclass(frozen=True, kw_only=True, slots=True)
class ArgumentType:
    """What one argument accepts.

    `plain` are types whose values are used as they are without another look. `own_kind` is the
    builder's own kind of a key that every task has; `converted` is what text becomes. `accepted`
    is None if the annotation accepts anything.
    """

    plain: frozenset[type]
    own_kind: Kind | None = None
    converted: Kind | None = None
    accepted: frozenset[type] | None = None
    templated: bool = False


ANYTHING = ArgumentType(plain=SCALARS)


def type_of(parameter: inspect.Parameter, *, templated: bool) -> ArgumentType:
    """Return the type of an argument. `templated` is whether Jinja renders it at run time."""
    field = TASK_FIELDS.get(parameter.name)
    if field is not None:
        if field.kind is Kind.ANY:
            return ANYTHING
        return ArgumentType(plain=_OF_KIND.get(field.kind, _NULL), own_kind=field.kind)
    parts = _parts(_text(parameter.annotation))
    common = COMMON_ARGUMENTS.get(parameter.name)
    if common is not None and not parts & _ACCEPTED.keys() - {"None"}:
        return ArgumentType(plain=frozenset(), converted=common, templated=templated)
    return type_of_annotation(parameter, templated=templated)


def type_of_annotation(parameter: inspect.Parameter, *, templated: bool = False) -> ArgumentType:
    """Return the type of a parameter's annotation, whatever its name is."""
    parts = _parts(_text(parameter.annotation))
    if not parts or not parts <= _ACCEPTED.keys():
        return ANYTHING
    accepted = frozenset[type]().union(*(_ACCEPTED[part] for part in parts))
    if parameter.default is None:
        accepted |= _NULL
    converted = next((kind for part, kind in _CONVERTED.items() if part in parts), None)
    if converted is not None and str in accepted:
        converted = None
    return ArgumentType(
        plain=accepted & SCALARS,
        converted=converted,
        accepted=accepted,
        templated=templated,
    )


def read_argument(reader: Reader, expected: ArgumentType, value: Any, path: Path) -> Any:
    """Return the value of an operator's argument, or NOTHING if it is wrong (and reported)."""
    kind = cast("type[object]", type(value))
    if kind in expected.plain:
        return value
    if expected.own_kind is not None:
        return reader.read(expected.own_kind, value, path)
    if _is_of_environment(value):
        value = _of_environment(reader, expected, value, path)
        if value is NOTHING:
            return NOTHING
        kind = _plain_type(value)
    if kind not in _WRITTEN or is_marked(value):
        return reader.value(value, path)
    if kind is str and expected.templated and any(mark in value for mark in _TEMPLATE_MARKS):
        return value
    if expected.accepted is not None and kind in expected.accepted:
        return reader.value(value, path)
    if expected.converted is not None and value is not None:
        return reader.read(expected.converted, value, path)
    if expected.accepted is None:
        return reader.value(value, path)
    reader.wrong(path, value, _described(expected))
    return NOTHING


def _is_of_environment(value: object) -> bool:
    return isinstance(value, Mapping) and "$env" in value


def _plain_type(value: object) -> type[object]:
    """Return the type of a value, which of text and numbers with an origin is a derived one."""
    derived = (kind for kind in (bool, int, float, str) if isinstance(value, kind))
    return next(derived, type(value))


def _of_environment(
    reader: Reader, expected: ArgumentType, mapping: Mapping[str, Any], path: Path
) -> Any:
    takes_text = expected.accepted is None or str in expected.accepted
    as_text = takes_text or expected.converted is not None
    return reader.environment(mapping, path, as_text=as_text)


def is_marked(value: object) -> bool:
    """Return whether a value is a mapping that refers to something else: ``{$output: …}``."""
    if not isinstance(value, Mapping):
        return False
    keys = cast("Mapping[Any, Any]", value)
    return any(isinstance(key, str) and key[:1] == "$" and key[:2] != "$$" for key in keys)


def _described(expected: ArgumentType) -> str:
    accepted = expected.accepted or frozenset()
    if float in accepted:
        accepted -= {int}
    words = [word for kind, word in _WORDS.items() if kind in accepted]
    if expected.converted is Kind.DIFFERENCE:
        words.append("a duration such as '5m'")
    elif expected.converted is not None:
        words.append(f"a {expected.converted}")
    return " or ".join(words)


def _text(annotation: object) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return str(annotation)


@functools.lru_cache(maxsize=4096)
def _parts(annotation: str) -> frozenset[str]:
    """Return the names in a union, without what is in brackets: ``str | list[int]`` → two."""
    text = annotation.strip().strip("'\"")
    parts = _split(text, "|")
    if len(parts) > 1:
        return frozenset[str]().union(*map(_parts, parts))
    name, bracket, inside = text.partition("[")
    name = name.rpartition(".")[2]
    if bracket and name in {"Optional", "Union", "Annotated"}:
        inner = _split(inside.removesuffix("]"), ",")
        chosen = inner[:1] if name == "Annotated" else inner
        found = frozenset[str]().union(*map(_parts, chosen))
        return found | {"None"} if name == "Optional" else found
    return frozenset({name})


def _split(text: str, separator: str) -> list[str]:
    """Split at each separator that is outside of brackets."""
    parts: list[str] = []
    depth, start = 0, 0
    for index, character in enumerate(text):
        depth += (character in "[(") - (character in "])")
        if character == separator and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]

"""The text of a dag-factory file: YAML 1.1 with Python's tags and the environment's variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import yaml
from yaml.resolver import Resolver

from dag_builder.errors import format_path
from dag_builder.yaml.source import Source, Yaml12Loader, is_text, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What Python's os.path.expandvars replaces, and dag-factory calls it for the whole file.
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^}]+\})", re.ASCII)
_TAG = "tag:yaml.org,2002:python/"
#: A comment, or text that looks like one, which a note about it does no harm.
_COMMENT = re.compile(r"(^|\s)#")


class ImportedName(str):
    """The import path in ``!!python/name:package.name``, which means the object itself."""

    __slots__ = ()


class _Loader(Yaml12Loader):
    """PyYAML's own meaning of bare words (``no`` is false), with the tags of its FullLoader."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return cast("Any", Resolver).resolve(self, kind, value, implicit)

    def scalar(self, node: Any) -> Any:
        return cast("Any", self).construct_object(node, deep=True)


def _named(_loader: Any, suffix: str, _node: Any) -> ImportedName:
    return ImportedName(suffix if "." in suffix else f"builtins.{suffix}")


def _list(loader: Any, node: Any) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_add: Any = _Loader.add_constructor
cast("Any", _Loader).add_multi_constructor(f"{_TAG}name:", _named)
for _word in ("none", "bool", "str", "int", "float"):
    _yaml_word = {"none": "null"}.get(_word, _word)
    _add(f"{_TAG}{_word}", _Loader.yaml_constructors[f"tag:yaml.org,2002:{_yaml_word}"])
_add(f"{_TAG}unicode", _Loader.yaml_constructors["tag:yaml.org,2002:str"])
_add(f"{_TAG}long", _Loader.yaml_constructors["tag:yaml.org,2002:int"])
_add(f"{_TAG}list", _list)
_add(f"{_TAG}tuple", _list)
_add(f"{_TAG}dict", _mapping)


def read(text: str, file: str, name: str) -> Source:
    """Read the text as dag-factory does. Mistakes of syntax are in the Source's problems."""
    return read_text(text, file, name, _Loader)


def variable_notes(source: Source) -> Iterator[str]:
    """Notes on text with environment variables, which this library does not replace."""
    for path, position, text in source.texts():
        names = list(dict.fromkeys(_VARIABLE.findall(text)))
        if names:
            yield (
                f"{format_path(path)} (line {position.line}): {', '.join(names)} stays as it is; "
                "dag-factory inserted the environment's value, if it had one, when it read the file"
            )


def comment_notes(source: Source) -> Iterator[str]:
    """A note that comments are lost, if there are any."""
    count = sum(1 for line in source.text.splitlines() if _COMMENT.search(line))
    if count:
        yield f"{count} lines have comments, which are not kept"


class _Dumper(yaml.SafeDumper):
    """Quotes what PyYAML takes for text, and YAML 1.2 for a number."""


def _text(dumper: Any, text: str) -> Any:
    style = None if is_text(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


cast("Any", _Dumper).add_representer(str, _text)


def dump(document: Mapping[str, Any]) -> str:
    """Our YAML of a document."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)

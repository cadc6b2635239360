"""YAML text as plain values, with the line and column of each.

The text is parsed by PyYAML's C parser into its nodes. The values are made from the nodes here,
which is faster than PyYAML's own way, and follows YAML 1.2 in what a bare word means: only
``true`` and ``false`` are booleans (``no`` is Norway), ``12:30`` is text, and a date is text until
a key needs a date.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dag_builder.errors import UNEXPECTED, Path, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Generator

if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
elif yaml.__with_libyaml__:
    _SafeLoader = yaml.CSafeLoader
else:  # pragma: no cover - a PyYAML built without libyaml: the same, but slower
    _SafeLoader = yaml.SafeLoader

#: The values that a file's aliases may expand to, unless it has many itself: MAX_EXPANSION
#: for each of its mappings and lists.
MAX_EXPANDED = 200_000
MAX_EXPANSION = 50

_TAG = "tag:yaml.org,2002:"
_STR, _MAP, _SEQ = f"{_TAG}str", f"{_TAG}map", f"{_TAG}seq"
_MERGE, _NULL, _BOOL = f"{_TAG}merge", f"{_TAG}null", f"{_TAG}bool"
_INT, _FLOAT = f"{_TAG}int", f"{_TAG}float"
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file's value, with the text to find positions in."""

    file: str
    value: Any
    text: str
    problems: tuple[Problem, ...] = ()

    @functools.cached_property
    def _node(self) -> Node | None:
        """Makes the nodes again when a position is needed, which is only after a mistake."""
        loader: Any = Yaml12Loader(self.text)
        try:
            return loader.get_single_node()
        except yaml.YAMLError:
            return None
        finally:
            loader.dispose()

    @functools.cached_property
    def _children(self) -> dict[int, dict[str, tuple[Node | None, Node]]]:
        """The items of each mapping that was looked at: its keys may all be mistakes."""
        return {}

    def _child(self, node: Node, part: str | int) -> tuple[Node | None, Node] | None:
        if isinstance(node, MappingNode):
            if id(node) not in self._children:
                self._children[id(node)] = _items(node)
            return self._children[id(node)].get(str(part))
        if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            return None, node.value[part]
        return None

    def texts(self) -> Generator[tuple[Path, Position, str]]:
        """Every word of the file, keys as well as values: its path, its place, and itself."""
        if self._node is not None:
            for path, node in _scalars(self._node, (), set()):
                yield path, _position(node.start_mark, self.file), node.value

    def has(self, path: Path) -> bool:
        """Whether the file itself has something at this path."""
        node = self._node
        for part in path:
            child = self._child(node, part) if node is not None else None
            if child is None:
                return False
            node = child[1]
        return node is not None

    def path_at(self, position: Position | None) -> Path:
        """The path to the innermost value around a position."""
        if position is None or self._node is None:
            return ()
        return tuple(_path_to(self._node, (position.line - 1, position.column - 1)))

    def locate(self, path: Path, on_key: bool = False) -> Position | None:  # noqa: FBT001, FBT002
        """The position of the value at a path, or of the nearest value around it in the file."""
        if self._node is None:
            return None
        node, mark = self._node, self._node.start_mark
        for index, part in enumerate(path):
            child = self._child(node, part)
            if child is None:
                break
            key, node = child
            last = index == len(path) - 1
            mark = (key if key is not None and (on_key and last) else node).start_mark
        return Position(file=self.file, line=mark.line + 1, column=mark.column + 1)


def read_text(text: str, file: str, name: str, loader: type[Yaml12Loader] | None = None) -> Source:
    """Read YAML. Mistakes of syntax are in the Source's problems, under the path `name`.

    `loader` is for files of another program, to which bare words and tags mean something else.
    """
    problems: list[Problem] = []
    with _collector_paused():
        value = _value((loader or Yaml12Loader)(text), file, name, problems)
    return Source(file=file, value=value, text=text, problems=tuple(problems))


def is_text(word: str) -> bool:
    """Whether a bare word is text here, and not a number, boolean or null."""
    return _meaning(word) == _STR


def _value(loader: Any, file: str, name: str, problems: list[Problem]) -> Any:
    try:
        node = loader.get_single_node()
        if node is not None and _is_bomb(node):
            problems.append(_bomb(node, file, name))
            return None
        return None if node is None else _Maker(loader, file, name, problems).make(node)
    except yaml.YAMLError as error:
        problems.append(_syntax(error, file, name))
        return None
    finally:
        loader.dispose()


def _bomb(node: Node, file: str, name: str) -> Problem:
    return Problem(
        path=(name,),
        message=f"its aliases expand to more than {MAX_EXPANDED:,} values",
        position=_position(node.start_mark, file),
        hint="aliases of aliases multiply: write what is meant without them",
    )


def _is_bomb(node: Node) -> bool:
    """Whether a few aliases expand to so many values that memory or time would run out."""
    sizes: dict[int, int] = {}
    expanded = _size(node, sizes)
    return expanded > MAX_EXPANDED and expanded > MAX_EXPANSION * len(sizes)


def _size(node: Node, sizes: dict[int, int]) -> int:
    """The number of values in a node, those of an alias counted each time."""
    if node.__class__ is ScalarNode:
        return 1
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = 1  # an alias within its own anchor is reported elsewhere
    total = len(node.value)
    if isinstance(node, MappingNode):
        total += sum(_size(value, sizes) for _, value in node.value)
    else:
        total += sum(_size(part, sizes) for part in node.value)
    sizes[id(node)] = total
    return total


@contextlib.contextmanager
def _collector_paused() -> Generator[None]:
    """Free some thousand short-lived nodes without Python's cycle collector.

    It would run several times for nothing, over everything that Airflow has imported: a third of
    the time of a folder of YAML files (benchmarks/dag_builder.py).
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Yaml12Loader(_SafeLoader):
    """PyYAML's loader with YAML 1.2's meaning of bare words."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        """The tag of a node that has none of its own."""
        if kind is ScalarNode:
            return _meaning(value) if implicit[0] else _STR
        return _MAP if kind is MappingNode else _SEQ

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """No tag depends on a node's place."""

    def ascend_resolver(self) -> None:
        """No tag depends on a node's place."""

    def scalar(self, node: Any) -> Any:
        """The value of a word that is not text."""
        tag, text = node.tag, node.value
        if tag == _NULL:
            return None
        if tag == _BOOL:
            return _boolean(text)
        if tag == _INT:
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        if tag == _FLOAT:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return cast("Any", self).construct_object(node, deep=True)


def _boolean(text: str) -> bool:
    """The value of ``!!bool``. Its words are those of YAML 1.1, whose tag it is."""
    if text.lower() in {"true", "yes", "on"}:
        return True
    if text.lower() in {"false", "no", "off"}:
        return False
    message = f"{text!r} is neither true nor false"
    raise ValueError(message)


@functools.lru_cache(maxsize=8192)
def _meaning(text: str) -> str:
    """The tag of a bare word."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return _NULL
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return _BOOL
    if text == "<<":
        return _MERGE
    if text[0] in "-+.0123456789":
        if _INTEGER.fullmatch(text):
            return _INT
        if _NUMBER.fullmatch(text):
            return _FLOAT
    return _STR


class _Maker:
    """Makes the values of nodes."""

    def __init__(self, loader: Any, file: str, name: str, problems: list[Problem]) -> None:
        self.loader = loader
        self.file = file
        self.name = name
        self.problems = problems
        self.made: dict[int, Any] = {}
        #: The mappings and lists that are being made, in which an alias of them would never end.
        self.open: set[int] = set()

    def make(self, node: Node) -> Any:
        tag = node.tag
        if tag == _STR:
            return node.value
        if tag == _MAP:
            return self._mapping(cast("MappingNode", node))
        if tag == _SEQ:
            # An alias gives the same node again, and then the same list.
            key = id(node)
            if key in self.open:
                return self._endless(node)
            if key not in self.made:
                self.open.add(key)
                self.made[key] = [self.make(item) for item in node.value]
                self.open.discard(key)
            return self.made[key]
        try:
            return self.loader.scalar(node)
        except UNEXPECTED as error:  # a tag makes its value of any text, as Python does
            reason = getattr(error, "problem", None) or error
            self._wrong(node, f"YAML's tag {_short(tag)} cannot be read: {reason}")
            return None

    def _mapping(self, node: MappingNode) -> dict[Any, Any]:
        key = id(node)
        if key in self.open:
            return self._endless(node)
        if key in self.made:
            return self.made[key]
        result: dict[Any, Any] = {}
        self.made[key] = result
        self.open.add(key)
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.update(self._merge(value_node))
                continue
            name = key_node.value if key_node.tag == _STR else self._key(key_node)
            if name in result:
                self._twice(name, key_node)
            result[name] = self.make(value_node)
        if merged:
            own = dict(result)
            result.clear()
            result.update(merged)
            result.update(own)
        self.open.discard(key)
        return result

    def _key(self, node: Node) -> Any:
        made = self.make(node)
        return made if isinstance(made, str | int | float | bool | None) else str(made)

    def _merge(self, node: Node) -> dict[Any, Any]:
        """What ``<<:`` brings in; of several mappings the first one wins."""
        made = self.make(node)
        parts = cast("list[Any]", made if isinstance(made, list) else [made])
        result: dict[Any, Any] = {}
        for part in reversed(parts):
            if isinstance(part, dict):
                result.update(cast("dict[Any, Any]", part))
            else:
                self._wrong(node, "'<<' merges a mapping, or a list of mappings")
        return result

    def _twice(self, name: Any, node: Node) -> None:
        self._wrong(node, f"the key {name!r} is there twice; YAML keeps only the last one")

    def _endless(self, node: Node) -> Any:
        self._wrong(node, "an alias is inside of the value that it refers to")

    def _wrong(self, node: Node, message: str) -> None:
        position = _position(node.start_mark, self.file)
        self.problems.append(Problem(path=(self.name,), message=message, position=position))


def _items(node: Node) -> dict[str, tuple[Node | None, Node]]:
    """The keys and values of a mapping by the text of the key, with what ``<<`` brings in."""
    found: dict[str, tuple[Node | None, Node]] = {}
    pairs: list[tuple[Node, Node]] = node.value if isinstance(node, MappingNode) else []
    for key, value in pairs:
        if key.tag == _MERGE:
            parts: list[Node] = value.value if isinstance(value, SequenceNode) else [value]
            for part in reversed(parts):
                found.update(_items(part))
    found.update({key.value: (key, value) for key, value in pairs if key.tag != _MERGE})
    return found


def _path_to(node: Node, place: tuple[int, int]) -> Generator[str | int]:
    """The keys and indexes that lead to a line and column, both from 0."""
    inner: list[tuple[Any, Node, Node]] = []
    if isinstance(node, MappingNode):
        inner = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, SequenceNode):
        inner = [(index, item, item) for index, item in enumerate(node.value)]
    # An alias has the place of its anchor: before what it is in, or inside of something else.
    before = [part for part in inner if _start(node) <= _start(part[1]) <= place]
    if before:
        name, key, value = max(before, key=lambda part: _start(part[1]))
        if _start(value) > _start(node):
            yield name
            if _start(key) <= _start(value) <= place:
                yield from _path_to(value, place)


def _scalars(node: Node, path: Path, seen: set[int]) -> Generator[tuple[Path, ScalarNode]]:
    """The words in a node; those of an alias are at its anchor."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        yield path, node
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield from _scalars(key, inner, seen)
            yield from _scalars(value, inner, seen)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _scalars(item, (*path, index), seen)


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line, node.start_mark.column


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _syntax(error: yaml.YAMLError, file: str, name: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        parts = [part for part in (error.context, error.problem) if part]
        return Problem(
            path=(name,),
            message=f"this is not valid YAML: {', '.join(parts)}",
            position=_position(mark, file) if mark else None,
            hint="a tab, a missing space after ':' or a wrong indentation are the usual causes",
        )
    return Problem(path=(name,), message=f"this is not valid YAML: {error}")


def _position(mark: Any, file: str) -> Position:
    return Position(file=file, line=mark.line + 1, column=mark.column + 1)

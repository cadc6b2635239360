"""What is wrong with a dictionary: one Problem a mistake, all of them in one DagError."""

from __future__ import annotations

import difflib
import itertools
import traceback
from collections.abc import Sized
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

#: The place of a value: ``("sales", "tasks", "load", "upstream", 0)``.
Path = tuple[str | int, ...]

#: What a user's code, or a mistake of this library, may raise while a DAG is built. Airflow's
#: time limit for a file and Ctrl-C are none of these, and end it.
UNEXPECTED: tuple[type[BaseException], ...] = (Exception, SystemExit)

#: More mistakes than this are counted and not printed: the text of a file's import error is stored
#: and shown as a whole.
MAX_PROBLEMS_SHOWN = 100
#: Names that are compared with wrong ones in one DAG, some microsecond each. Beyond this a mistake
#: has no suggestion, so that the cost of reporting mistakes does not grow with their square.
MAX_COMPARISONS = 500_000
#: More names than this do not help a reader.
MAX_NAMES_SHOWN = 12


class _Nothing:
    """The type of NOTHING, which means "no value was given" if None is a valid value."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "NOTHING"  # pickled by name, so that it stays the same object


NOTHING = _Nothing()


@dataclass(frozen=True, kw_only=True)
class Position:
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, column {self.column}"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake.

    `path` leads to it from the DAG's name. `on_key` is true if the key itself is wrong, not what
    it holds. `valid` describes or lists what is valid, `suggestion` is the likeliest of it.
    `cause` is the unexpected exception, if that is the problem.
    """

    path: Path
    message: str
    given: object = NOTHING
    valid: str = ""
    suggestion: str = ""
    hint: str = ""
    on_key: bool = False
    position: Position | None = None
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The path as one would write it: ``sales.tasks.load.upstream[0]``."""
        return format_path(self.path)

    def __str__(self) -> str:
        place = f"{self.where} ({self.position})" if self.position else self.where
        lines = [place, f"    {self.message}"]
        if self.given is not NOTHING:
            lines.append(f"    given: {_shorten(_shown(self.given))}")
        if self.valid:
            lines.append(f"    valid: {self.valid}")
        if self.suggestion:
            lines.append(f"    did you mean {self.suggestion!r}?")
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


class DagError(Exception):
    """A dictionary that cannot become a DAG. `problems` holds every mistake in it.

    Its cause is the first unexpected exception among them, if there is one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Set the text of the exception, which has every mistake."""
        self.problems = tuple(problems)
        super().__init__(self._text())
        self.__cause__ = next((one.cause for one in self.problems if one.cause), None)

    def _text(self) -> str:
        names = list(dict.fromkeys(str(problem.path[0]) for problem in self.problems))
        count = len(self.problems)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        dags = "DAG " if len(names) == 1 else "DAGs "
        title = f"{mistakes} in {dags}{listed(names)}"
        shown = [str(problem) for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        more = count - len(shown)
        rest = [f"and {more} more mistakes: `dag-builder check --format json` lists all"]
        return "\n\n".join([title, *shown, *(rest if more else [])])

    def __reduce__(self) -> tuple[type[DagError], tuple[tuple[Problem, ...]]]:
        # Not every exception can be pickled, and its text is in the message.
        return type(self), (tuple(replace(problem, cause=None) for problem in self.problems),)


class Problems:
    """Collects mistakes, so that all of them are reported at once."""

    def __init__(self, locate: Callable[[Path, bool], Position | None] | None = None) -> None:
        """Start with none. `locate` finds the place of a path in its file."""
        self.found: list[Problem] = []
        self._locate = locate
        #: By the wrong name and the identity of the valid ones, which are kept alive for that.
        self._suggestions: dict[tuple[str, int], tuple[str, Collection[str]]] = {}
        self._comparisons_left = MAX_COMPARISONS

    def __bool__(self) -> bool:
        return bool(self.found)

    def locate(self, path: Path, *, on_key: bool = False) -> Position | None:
        """Return the place of a path in its file, if that file has places."""
        return self._locate(path, on_key) if self._locate else None

    def of_another(self) -> Problems:
        """Problems of something else in the same file, still none."""
        return Problems(self._locate)

    def add(
        self,
        path: Path,
        message: str,
        *,
        given: object = NOTHING,
        valid: str = "",
        suggestion: str = "",
        hint: str = "",
        on_key: bool = False,
        cause: BaseException | None = None,
    ) -> None:
        """Note one mistake; the position in its file is looked up here."""
        self.found.append(
            Problem(
                path=path,
                message=message,
                given=given,
                valid=valid,
                suggestion=suggestion,
                hint=hint,
                on_key=on_key,
                position=self.locate(path, on_key=on_key),
                cause=cause,
            )
        )

    def add_unknown(
        self, path: Path, message: str, given: str, valid: Iterable[str], *, on_key: bool = False
    ) -> None:
        """Note a name that is none of the `valid` ones, with the likeliest of them."""
        names = valid if isinstance(valid, list) else list(valid)
        self.add(
            path,
            message,
            given=given,
            valid=listed(names),
            suggestion=self.closest(given, names),
            on_key=on_key,
        )

    def closest(self, given: str, names: Collection[str]) -> str:
        """The name that `given` was probably meant to be, or an empty string.

        The same name is compared with the same collection once, and the comparisons of one DAG
        are bounded by MAX_COMPARISONS.
        """
        key = (given, id(names))
        if key not in self._suggestions:
            if self._comparisons_left < len(names):
                return ""
            self._comparisons_left -= len(names)
            self._suggestions[key] = closest(given, names), names
        return self._suggestions[key][0]

    def add_unexpected(self, path: Path, error: BaseException, *, file: str = "") -> None:
        """Note an unexpected exception, raised while the value at `path` was read."""
        frames = traceback.extract_tb(error.__traceback__)
        raised = f"raised in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
        self.add(
            path,
            f"building this DAG fails: {type(error).__name__}: {error}",
            hint=f"{raised}, while {file} was read" if file and raised else raised,
            cause=error,
        )

    def raise_any(self) -> None:
        """Raise all that was found as one DagError, or do nothing."""
        if self.found:
            raise DagError(self.found)


def format_path(path: Path) -> str:
    """``("sales", "tasks", "a b", "upstream", 0)`` → ``sales.tasks["a b"].upstream[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not text:
            text = part
        elif part.replace("-", "_").replace("$", "_").isidentifier():
            text += f".{part}"
        else:
            text += f'["{part}"]'
    return text


def closest(given: str, names: Iterable[str]) -> str:
    """The name that `given` was probably meant to be, or an empty string."""
    by_lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else ""


def listed(names: Iterable[str]) -> str:
    """Names for a message, shortened if there are too many."""
    all_names = names if isinstance(names, Sized) else list(names)
    shown = ", ".join(repr(name) for name in itertools.islice(all_names, MAX_NAMES_SHOWN))
    rest = len(all_names) - MAX_NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _shown(given: object) -> str:
    try:
        return repr(given)
    except Exception:  # noqa: BLE001 - a user's repr() may raise anything
        return object.__repr__(given)


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

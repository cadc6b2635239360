"""Ejects DAGs that other tests build, and compares the code's DAGs with them."""

import itertools
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

from dag_builder.eject.blocks import blocks, joined
from dag_builder.eject.compare import compare
from dag_builder.eject.names import Names, import_lines
from dag_builder.eject.refusal import EjectError
from dag_builder.make.plans import Built

#: Where functions that a test defines in itself can be imported from.
FUNCTIONS = types.ModuleType("functions_of_tests")
_NUMBERS = itertools.count()
#: DAGs of one test that are compared; the rest of a large number of them is alike.
MOST = 20
#: Expected reasons for what cannot be written.
RIGHT = re.compile(
    r"is in no module that can be imported"  # the functions of a DAG file, not of a module
    r"|the value is converted when"
    r"|auto_register is off"
    r"|an object of object cannot be written"
    r"|Airflow cannot serialize this DAG"
)


def code_of(built: Built) -> str:
    """The code of one DAG, in a file of its own."""
    names = Names()
    found = joined(blocks([built], names, {}))
    return "\n".join([*import_lines(names.imports), "", *found, ""])


def compare_all(built: Iterable[Built]) -> None:
    """Eject each DAG; fail unless it is equal, or is refused for a reason that is right."""
    sys.modules[FUNCTIONS.__name__] = FUNCTIONS
    for one in itertools.islice(built, MOST):
        for task in one.plan.tasks.values():
            name_function(task.function, task.decorated)
        try:
            compare(code_of(one), [one.dag], file="ejected.py", name="ejected")
        except EjectError as error:
            if not RIGHT.search(str(error)):
                raise


def name_function(function: object, decorated: Any) -> None:
    """Put a function that is local to a test into a module."""
    if isinstance(function, types.FunctionType) and "<locals>" in function.__qualname__:
        name = f"{function.__name__.strip('<>')}_{next(_NUMBERS)}"
        for one in (function, *([decorated] if decorated else [])):
            one.__module__, one.__qualname__ = FUNCTIONS.__name__, name
        setattr(FUNCTIONS, name, decorated or function)

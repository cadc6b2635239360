"""Conda's requirements as PyPI's, for a build that reaches no channel.

The two name some packages differently, and a name that both have may be two programs. So only
these are taken from PyPI by themselves; of any other a comment says the name: ``# pypi: NAME``.
"""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from rattler import Version, VersionSpec

from airflow_env.errors import BuildError
from airflow_env.requirements import CONDA_FILE, PIP_FILE, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rattler import MatchSpec

SAME_NAME = frozenset(  # one word a name: a list of these would be a page
    """
    aiobotocore aiohttp altair beautifulsoup4 bokeh boto3 botocore catboost cattrs cloudpickle
    cryptography cython dask dbt-core distributed duckdb fastavro fastparquet fsspec geopandas
    great-expectations gspread httpx ibis-framework joblib jsonschema jupyterlab lightgbm lxml
    matplotlib mlflow networkx numba numexpr numpy openpyxl optuna pandas pandera paramiko pillow
    plotly polars psutil pyarrow pydantic pymongo pymysql pyodbc pyspark pytest python-dateutil
    pytz pyyaml requests rich s3fs scikit-image scikit-learn scipy seaborn shapely
    snowflake-connector-python snowflake-sqlalchemy spacy sqlalchemy sqlglot statsmodels sympy
    tabulate tenacity tornado tqdm transformers typer urllib3 xarray xgboost xlsxwriter zstandard
    """.split()  # noqa: SIM905
)
OTHER_NAME = {
    "matplotlib-base": "matplotlib",
    "dask-core": "dask",
    "psycopg2": "psycopg2-binary",
    "py-xgboost": "xgboost",
    "python-duckdb": "duckdb",
    "python-graphviz": "graphviz",
    "pytables": "tables",
    "pytorch": "torch",
    "redis-py": "redis",
    "seaborn-base": "seaborn",
    "tensorflow-base": "tensorflow",
}

_PLAIN = re.compile(r"(>=|<=|==|!=|~=|>|<)?([0-9][0-9A-Za-z.]*?)(\.\*)?")


def python_version(requirements: Iterable[Requirement], installed: str | None = None) -> str:
    """Return the interpreter's version when it is one that the requirements ask for.

    Raises:
        BuildError: if it is not; without a channel there is no other.

    """
    installed = installed or platform.python_version()
    wrong = [
        str(each)
        for each in requirements
        if each.name == "python" and not _allows(each.spec, installed)
    ]
    if wrong:
        line = "\n".join(wrong)
        message = (
            f"{line}\n"
            f"Without a conda channel the interpreter is Debian's, Python {installed}. Ask for "
            f"python={'.'.join(installed.split('.')[:2])}, or name a channel that can be reached "
            "in CONDA_CHANNELS."
        )
        raise BuildError(message)
    return installed


def from_pypi(requirements: Iterable[Requirement]) -> list[tuple[Requirement, str]]:
    """Return each of conda's requirements but Python with what to ask PyPI for instead.

    Raises:
        BuildError: with every requirement that PyPI cannot serve.

    """
    found: list[tuple[Requirement, str]] = []
    refused: list[str] = []
    for each in requirements:
        if each.name == "python" or each.pypi == "-":
            continue
        name = each.pypi or OTHER_NAME.get(each.name)
        if name is None and each.name in SAME_NAME:
            name = each.name
        if name is None:
            refused.append(f"{each}: only a conda channel is known to have it")
            continue
        try:
            found.append((each, name + _specifier(each.spec)))
        except ValueError as error:
            refused.append(f"{each}: {error}")
    if refused:
        message = (
            "no conda channel is used, and PyPI cannot serve these:\n"
            + "\n".join(f"    {line}" for line in refused)
            + f"\nIf PyPI has it, say its name there at the end of the line in {CONDA_FILE} "
            f"(`# pypi: NAME`), or move the line to {PIP_FILE}; `# pypi: -` leaves it out. "
            "Otherwise name a channel that this build can reach in CONDA_CHANNELS."
        )
        raise BuildError(message)
    return found


def _specifier(spec: MatchSpec) -> str:
    """Translate conda's version specification into PyPI's (PEP 440)."""
    if spec.build is not None:
        message = f"asks for the build {spec.build!r}, which PyPI does not have"
        raise ValueError(message)
    if spec.version is None or spec.version == "*":
        return ""
    parts: list[str] = []
    for part in spec.version.split(","):
        plain = _PLAIN.fullmatch(part.strip())
        if plain is None:
            message = f"the version {part!r} has no equivalent in PyPI's version scheme"
            raise ValueError(message)
        operator, version, star = plain.groups()
        parts.append(f"{operator or '=='}{version}{star or ''}")
    return ",".join(parts)


def _allows(spec: MatchSpec, version: str) -> bool:
    return spec.version is None or VersionSpec(spec.version).matches(Version(version))

"""Every example in docs/dags.md is run; both of its columns make the same DAGs."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization
from dag_builder.builder import dags_of_document
from dag_builder.cli.main import main
from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    GROUP_FIELDS,
    TASK_FIELDS,
    TASK_OWN_FIELDS,
)
from dag_builder.yaml.documents import read_string

from dag_builder import DagError

PAGE = (Path(__file__).parents[3] / "docs" / "dags.md").read_text(encoding="utf-8")
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _fences(text: str) -> list[tuple[str, str]]:
    return _FENCE.findall(text)


def _examples() -> list[tuple[str, list[tuple[str, str]]]]:
    """The title and the code of each example."""
    found = []
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        if "<!-- example -->" in section:
            title = section.partition("\n")[0]
            body = re.split(r"^#+ ", section.partition("\n")[2], flags=re.MULTILINE)[0]
            found.append((title, _fences(body)))
    return found


EXAMPLES = _examples()


@pytest.fixture(autouse=True)
def sales_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The module that the page's examples take their functions from."""
    code = next(code for info, code in _fences(PAGE) if info == "python sales")
    file = tmp_path_factory.mktemp("example") / "sales.py"
    file.write_text(code, encoding="utf-8")
    specification = importlib.util.spec_from_file_location("sales", file)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["sales"] = module
    specification.loader.exec_module(module)
    from dag_builder.read.imports import import_object

    import_object.cache_clear()
    yield
    del sys.modules["sales"]
    import_object.cache_clear()


def _dags_of_code(code: str) -> dict[str, DAG]:
    made: dict[str, DAG] = {}
    original = DAG.__attrs_post_init__

    def remember(self: DAG) -> None:
        original(self)
        made[self.dag_id] = self

    DAG.__attrs_post_init__ = remember
    try:
        exec(compile(code, "example.py", "exec"), {"__name__": "example", "__file__": "example.py"})  # noqa: S102
    finally:
        DAG.__attrs_post_init__ = original
    return made


def _stored(dags: dict[str, DAG]) -> dict[str, Any]:
    """What Airflow stores of DAGs, without the place of their file and their edges' order."""
    return {name: _plain(DagSerialization.to_dict(dag)["dag"]) for name, dag in dags.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in {"fileloc", "relative_fileloc"}}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _sorted_tasks(stored: dict[str, Any]) -> dict[str, Any]:
    """Tasks and edge lists in one order: a template's edges come in the order of the code."""
    for dag in stored.values():
        dag["tasks"].sort(key=lambda task: task["__var"]["task_id"])
    return stored


@pytest.mark.parametrize(("title", "fences"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example_makes_what_its_airflow_code_makes(
    title: str, fences: list[tuple[str, str]]
) -> None:
    ours = _sorted_tasks(_stored(_dags_of_code(fences[0][1])))
    airflow = _sorted_tasks(_stored(_dags_of_code(fences[1][1])))
    assert ours, title
    assert ours == airflow


YAML = [(title, fences) for title, fences in EXAMPLES if len(fences) > 2]


@pytest.mark.parametrize(("title", "fences"), YAML, ids=[title for title, _ in YAML])
def test_yaml_example_makes_the_same(title: str, fences: list[tuple[str, str]]) -> None:
    assert fences[2][0] == "yaml", title
    problems: list[Any] = []
    dags = dags_of_document(read_string(fences[2][1]), None, problems)
    assert not problems
    ours = _sorted_tasks(_stored(_dags_of_code(fences[0][1])))
    assert _sorted_tasks(_stored({dag.dag_id: dag for dag in dags})) == ours


def test_page_has_examples_with_yaml() -> None:
    assert len(EXAMPLES) >= 16
    assert len(YAML) >= 4


def test_mistakes_are_reported_as_documented() -> None:
    code = next(code for info, code in _fences(PAGE) if info == "python mistakes")
    printed = next(text for info, text in _fences(PAGE) if info == "text mistakes")
    with pytest.raises(DagError) as caught:
        _dags_of_code(code)
    assert f"{caught.value}\n" == printed


def test_every_key_is_documented() -> None:
    fields = [DAG_FIELDS, DAG_OWN_FIELDS, TASK_FIELDS, TASK_OWN_FIELDS, GROUP_FIELDS]
    rows = set(re.findall(r"^\| `(\w+)` \| \w+ \| (.*) \|$", PAGE, flags=re.MULTILINE))
    for table in fields:
        assert {(key, field.about) for key, field in table.items()} <= rows


def test_the_walk_through_leads_over_its_mistake_to_a_valid_dag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "first-dag.md").read_text(encoding="utf-8")
    left_out, function, entries = (code for info, code in _fences(page) if info == "python")
    text = (root / "dags" / "orders_etl.py").read_text(encoding="utf-8")
    for old, new in (
        ('"orders_etl"', '"big_orders"'),
        ("shop.orders", "shop.big_orders"),
        ('        if not row["country"]:', f'{left_out}        if not row["country"]:'),
        ("build_dag(\n", f"{function}\n\nbuild_dag(\n"),
        (
            (
                '            "extract": [],\n            "transform": ["extract"],\n'
                '            "load": ["create_tables", "transform"],\n'
            ),
            entries,
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "big_orders.py"
    file.write_text(text, encoding="utf-8")
    assert main(["check", str(file)]) == 1
    printed = capsys.readouterr().err
    assert "1 mistake in DAG 'big_orders'" in printed
    assert "there is no task or group 'transfrom'" in printed
    assert "did you mean 'transform'?" in printed
    file.write_text(text.replace("transfrom", "transform") + "# corrected\n", encoding="utf-8")
    assert main(["check", str(file)]) == 0


@pytest.mark.parametrize("page", ["first-dag.md", "dags.md"])
def test_what_a_page_leads_to_is_there(page: str) -> None:
    folder = Path(__file__).parents[3] / "docs"
    links = re.findall(r"\]\(([^)#:]+)\)", (folder / page).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (folder / link).exists(), link

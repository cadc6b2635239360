"""Folders of YAML files: their defaults, other programs' files, and what is ignored."""

from pathlib import Path

import pytest
from airflow.sdk import DAG
from dag_builder.builder import dags_of_document
from dag_builder.errors import Problem
from dag_builder.yaml.documents import read_documents

DAG_FILE = "dag_id: {name}\ntasks: {{a: {{operator: empty}}}}\n"


def built(folder: Path) -> tuple[list[DAG], list[Problem]]:
    problems: list[Problem] = []
    dags: list[DAG] = []
    for document in read_documents(folder, top=folder):
        dags.extend(dags_of_document(document, {}, problems))
    return dags, problems


def write(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yml").write_text(DAG_FILE.format(name=name))


@pytest.mark.parametrize("name", ["defaults.yaml", "defaults.yml"])
def test_defaults_with_either_ending(tmp_path: Path, name: str) -> None:
    write(tmp_path / "sub", "one")
    (tmp_path / name).write_text("default_args: {owner: shop}\n")
    (tmp_path / "sub" / name).write_text("tags: [x]\n")
    (dag,), problems = built(tmp_path)
    assert not problems
    assert (dag.get_task("a").owner, dag.tags) == ("shop", {"x"})


def test_files_of_other_programs_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, "one")
    (tmp_path / "schema.yml").write_text("version: 2\nmodels: [{name: orders}]\n")
    (tmp_path / "anchors.yaml").write_text("x-common: &c {retries: 3}\n")
    (tmp_path / "empty.yaml").write_text("")
    dags, problems = built(tmp_path)
    assert [dag.dag_id for dag in dags] == ["one"]
    assert not problems


def test_a_broken_file_of_dags_is_not_skipped(tmp_path: Path) -> None:
    write(tmp_path, "one")
    (tmp_path / "two.yaml").write_text("dag_id: two\n  tasks: [\n")
    dags, problems = built(tmp_path)
    assert [dag.dag_id for dag in dags] == ["one"]
    assert "this is not valid YAML" in str(problems[0])


def test_airflowignore_is_honoured(tmp_path: Path) -> None:
    write(tmp_path, "one")
    write(tmp_path / "drafts", "two")
    write(tmp_path, "old_three")
    (tmp_path / ".airflowignore").write_text("drafts/\nold_*\n")
    dags, problems = built(tmp_path)
    assert [dag.dag_id for dag in dags] == ["one"]
    assert not problems


def test_top_level_keys_for_anchors(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "x-task: &t {operator: empty, retries: 3}\ndag_id: one\ntasks: {a: *t}\n"
    )
    (tmp_path / "two.yaml").write_text(
        "x-task: &t {operator: empty, retries: 3}\ndags: {two: {tasks: {a: *t}}}\n"
    )
    dags, problems = built(tmp_path)
    assert not problems
    assert [(dag.dag_id, dag.get_task("a").retries) for dag in dags] == [("one", 3), ("two", 3)]

"""The JSON Schema of YAML files, for editors: made from the table of keys and from operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    GROUP_FIELDS,
    TASK_FIELDS,
    TASK_OWN_FIELDS,
    Field,
    Kind,
)
from dag_builder.imports import ImportPathError
from dag_builder.operators import DECORATORS, OPERATORS, Signature, signature_of
from dag_builder.reader import choices
from dag_builder.schedules import PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NAMES: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_CALLBACK: Schema = {
    "anyOf": [
        {"type": "string", "description": "an import path"},
        {"type": "object", "anyOf": [{"required": ["callback"]}, {"required": ["$object"]}]},
    ]
}


def json_schema() -> Schema:
    """The schema. Operators that are not installed are known by name, not by their arguments."""
    dag = {**DAG_FIELDS, **DAG_OWN_FIELDS}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "DAGs of dag-builder",
        "type": "object",
        "oneOf": [
            {
                "required": ["dag_id", "tasks"],
                "properties": {"dag_id": {**_TEXT, "description": "The DAG's id."}, **_keys(dag)},
                "additionalProperties": False,
            },
            {
                "required": ["dags"],
                "properties": {
                    "dags": {
                        "type": "object",
                        "description": "DAGs by their ids.",
                        "additionalProperties": {"$ref": "#/definitions/dag"},
                    },
                    "defaults": {
                        "type": "object",
                        "description": "Keys of a DAG, for every DAG that does not set them.",
                        "properties": _keys(dag),
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
        ],
        "definitions": {
            "dag": _object(dag, required=["tasks"]),
            "group": _object(GROUP_FIELDS, required=["tasks"]),
            "task": _task(),
            "tasks": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "anyOf": [
                        {"$ref": "#/definitions/group"},
                        {"$ref": "#/definitions/task"},
                        {"$ref": "#/definitions/links"},
                        {"type": "null"},
                    ]
                },
            },
            "links": {"anyOf": [_TEXT, {"type": "array", "items": {"$ref": "#/definitions/link"}}]},
            "link": {
                "anyOf": [
                    _TEXT,
                    {
                        "type": "object",
                        "required": ["task", "label"],
                        "properties": {"task": _TEXT, "label": _TEXT},
                        "additionalProperties": False,
                    },
                ]
            },
            "default_args": {"type": "object", "properties": _keys(TASK_FIELDS)},
            "duration": {"type": ["number", "string", "object"]},
        },
    }


def _object(fields: Mapping[str, Field], *, required: Iterable[str]) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": _keys(fields),
        "additionalProperties": False,
    }


def _task() -> Schema:
    """A task may have the arguments of its operator; those of a known operator are listed."""
    operators = {name: signature for name in OPERATORS if (signature := _signature(name))}
    return {
        "type": "object",
        "not": {"required": ["tasks"]},
        "properties": _keys({**TASK_FIELDS, **TASK_OWN_FIELDS}),
        "allOf": [
            {
                "if": {"required": ["operator"], "properties": {"operator": {"const": name}}},
                "then": {
                    "properties": {argument: {} for argument in _own(signature)},
                    "propertyNames": {"enum": sorted({*signature.arguments, *TASK_OWN_FIELDS})},
                },
            }
            for name, signature in operators.items()
        ],
    }


def _own(signature: Signature) -> list[str]:
    return sorted(signature.arguments - TASK_FIELDS.keys())


def _signature(name: str) -> Signature | None:
    try:
        return signature_of(name)
    except ImportPathError:
        return None


def _keys(fields: Mapping[str, Field]) -> Schema:
    return {
        key: {**_SPECIAL.get(key, _of_kind(field.kind)), "description": field.about}
        for key, field in fields.items()
    }


def _of_kind(kind: Kind) -> Schema:
    match kind:
        case Kind.TRIGGER_RULE:
            return {"enum": list(choices("trigger rule"))}
        case Kind.RUN_TYPES:
            return {"type": "array", "items": {"enum": list(choices("run type"))}}
        case Kind.SCHEDULE:
            return {
                "anyOf": [
                    {"enum": list(PRESETS)},
                    {"type": ["string", "number", "null", "object", "array"]},
                ]
            }
        case _:
            return _SIMPLE[kind]


_SIMPLE: dict[Kind, Schema] = {
    Kind.ANY: {},
    Kind.TEXT: _TEXT,
    Kind.INTEGER: {"type": "integer"},
    Kind.COUNT: {"type": "integer", "minimum": 1},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.NAMES: _NAMES,
    Kind.MAPPING: {"type": "object"},
    Kind.DURATION: {"$ref": "#/definitions/duration"},
    Kind.MOMENT: _TEXT,
    Kind.CALLBACK: {"anyOf": [_CALLBACK, {"type": "array", "items": _CALLBACK}]},
    Kind.OBJECTS: {"type": "object"},
    Kind.PARAMS: {"type": "object"},
    Kind.ASSETS: {"type": ["string", "array", "object"]},
    Kind.DEADLINE: {"type": ["object", "array"]},
    Kind.WEIGHT_RULE: _TEXT,
    Kind.CALLABLE: _TEXT,
}
_SPECIAL: dict[str, Schema] = {
    "tasks": {"$ref": "#/definitions/tasks"},
    "upstream": {"$ref": "#/definitions/links"},
    "downstream": {"$ref": "#/definitions/links"},
    "operator": {"anyOf": [{"enum": list(OPERATORS)}, {"type": "string", "pattern": r"[.:]"}]},
    "decorator": {"anyOf": [{"enum": list(DECORATORS)}, _TEXT]},
    "default_args": {"$ref": "#/definitions/default_args"},
    "teardown": {"type": ["boolean", "string", "array"]},
    "chains": {"type": ["string", "array"]},
    "for_each": {"type": ["array", "object"]},
}

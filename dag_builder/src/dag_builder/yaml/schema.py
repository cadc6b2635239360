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
from dag_builder.read.imports import ImportPathError
from dag_builder.read.keys import dag_keys
from dag_builder.read.operators import (
    DECORATORS,
    OPERATORS,
    Signature,
    class_name,
    entry_point_names,
    signature_of,
)
from dag_builder.read.schedules import PRESETS
from dag_builder.read.values import choices

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
#: ``${name}``, which read/templates.py replaces.
_PARAMETER = r"(^|[^$])\$\{[A-Za-z_][A-Za-z0-9_.]*\}"
_PARAMETER_HERE: Schema = {"$ref": "#/definitions/parameter"}
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
    others: Schema = {key: {} for key in sorted(dag_keys() - dag.keys())}
    dag_id = {"dag_id": {**_TEXT, "description": "The DAG's id."}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "DAGs of dag-builder",
        "type": "object",
        "anyOf": [
            _object({**dag_id, **_keys(dag), **others}, required=["dag_id", "tasks"]),
            _short({**dag_id, **_keys({"for_each": dag["for_each"]})}, required=["dag_id"]),
            {
                "required": ["dags"],
                "properties": {
                    "dags": {
                        "type": "object",
                        "description": "DAGs by their ids.",
                        "minProperties": 1,
                        "additionalProperties": {
                            "anyOf": [
                                {"$ref": "#/definitions/dag"},
                                {"$ref": "#/definitions/short_dag"},
                            ]
                        },
                    },
                    "defaults": {
                        "type": ["object", "null"],
                        "description": "Keys of a DAG, for every DAG that does not set them.",
                        "properties": {**_keys(dag), **others},
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
        ],
        "definitions": {
            "dag": _object({**_keys(dag), **others}, required=["tasks"]),
            "short_dag": _short(_keys({"for_each": dag["for_each"]}), required=[]),
            "group": _object(_keys(GROUP_FIELDS), required=["tasks"]),
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
            "links": {
                "anyOf": [
                    {"$ref": "#/definitions/link"},
                    {"type": "array", "items": {"$ref": "#/definitions/link"}},
                ]
            },
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
            "parameter": {
                "type": "string",
                "pattern": _PARAMETER,
                "description": "a parameter of for_each",
            },
            "object": {
                "type": "object",
                "anyOf": [
                    {"required": [marker]}
                    for marker in ("$object", "$import", "$duration", "$date")
                ],
            },
        },
    }


def _short(properties: Schema, *, required: list[str]) -> Schema:
    """Only tasks, each with the ones before it: no key of a DAG stands there."""
    return {
        "type": "object",
        "required": required,
        "minProperties": len(required) + 1,
        "propertyNames": {"not": {"enum": sorted(DAG_FIELDS.keys() - {"tags"})}},
        "properties": {**properties, "tasks": _NAMES},
        "additionalProperties": {
            "anyOf": [
                _TEXT,
                {"type": "array", "items": {"$ref": "#/definitions/link"}},
                {"type": "null"},
            ]
        },
    }


def _object(properties: Schema, *, required: list[str]) -> Schema:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "patternProperties": {_PARAMETER: {}},
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
                "if": {
                    "required": ["operator"],
                    "properties": {"operator": {"enum": [name, class_name(name)]}},
                },
                "then": {
                    "properties": {argument: {} for argument in _own(signature)},
                    "propertyNames": {
                        "anyOf": [
                            {"enum": sorted({*signature.arguments, *TASK_OWN_FIELDS})},
                            {"pattern": _PARAMETER},
                        ]
                    },
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
        key: {**_of_key(key, field.kind), "description": field.about}
        for key, field in fields.items()
    }


def _of_key(key: str, kind: Kind) -> Schema:
    own = _SPECIAL[key] if key in _SPECIAL else _of_kind(kind)
    if not own:
        return own
    instead = [_PARAMETER_HERE]
    if key not in _SPECIAL:
        instead.append({"$ref": "#/definitions/object"})
    if key not in _NEVER_NULL:
        instead.append({"type": "null"})
    return {"anyOf": [own, *instead]}


def _of_kind(kind: Kind) -> Schema:
    match kind:
        case Kind.TRIGGER_RULE:
            return {"enum": list(choices("trigger rule"))}
        case Kind.RUN_TYPES:
            one = {"enum": list(choices("run type"))}
            return {"anyOf": [one, {"type": "array", "items": one}]}
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
    Kind.NATURAL: {"type": "integer", "minimum": 0},
    Kind.BACKOFF: {"type": ["number", "boolean"], "minimum": 0},
    Kind.INTERVAL: {"$ref": "#/definitions/duration"},
    Kind.DIFFERENCE: {"$ref": "#/definitions/duration"},
    Kind.TIME: _TEXT,
    Kind.FILTERS: {"type": "object"},
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
#: Keys that must hold something where they are given at all.
_NEVER_NULL = frozenset(
    {
        "callable",
        "dag_display_name",
        "decorator",
        "for_each",
        "operator",
        "owner_links",
        "pool_slots",
        "priority_weight",
        "tasks",
        "trigger_rule",
    }
)
_SPECIAL: dict[str, Schema] = {
    "tasks": {"$ref": "#/definitions/tasks"},
    "upstream": {"$ref": "#/definitions/links"},
    "downstream": {"$ref": "#/definitions/links"},
    "operator": {
        "anyOf": [
            {"enum": [*OPERATORS, *entry_point_names(), *map(class_name, OPERATORS)]},
            {"type": "string", "pattern": r"[.:]"},
        ]
    },
    "callable": _TEXT,
    "decorator": {"anyOf": [{"enum": list(DECORATORS)}, _TEXT]},
    "default_args": {"$ref": "#/definitions/default_args"},
    "teardown": {"type": ["boolean", "string", "array"]},
    "chains": {"type": ["string", "array"]},
    "for_each": {"type": ["array", "object"]},
}

"""The JSON Schema of YAML files, for editors: made from the table of keys and from operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dag_builder.fields import (
    DAG_FIELDS,
    DAG_OWN_FIELDS,
    GROUP_FIELDS,
    TASK_FIELDS,
    TASK_OWN_FIELDS,
    Field,
    Kind,
)
from dag_builder.read.assets import ASSET_KEYS
from dag_builder.read.deadlines import DEADLINE_KEYS
from dag_builder.read.imports import ImportPathError
from dag_builder.read.keys import dag_keys
from dag_builder.read.notifications import DAG_EVENTS, TARGETS, TASK_EVENTS
from dag_builder.read.operators import (
    DECORATORS,
    OPERATORS,
    Signature,
    class_name,
    entry_point_names,
    signature_of,
)
from dag_builder.read.schedules import FORMS, PRESETS
from dag_builder.read.values import choices

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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


#: YAML's merge key, which editors see as a key like any other.
_MERGED: Schema = {"<<": {}}
#: Keys at the top of a file for the author's own anchors.
_FREE_NAMES = ("^x-",)
_FREE: Schema = dict.fromkeys(_FREE_NAMES, cast("Schema", {}))
#: What read/keys.py takes for a name, in the words that every editor's regular expressions have.
_NAME = r"^[^\s/\\:;,?!()\[\]]{1,250}$"
_UNITS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
_DURATION: Schema = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": r"^\s*[0-9]"},
        {
            "type": "object",
            "minProperties": 1,
            "properties": dict.fromkeys(_UNITS, cast("Schema", {"type": "number"})),
            "additionalProperties": False,
        },
        {"$ref": "#/definitions/parameter"},
    ]
}
_MADE: Schema = {
    "type": "object",
    "anyOf": [{"required": [m]} for m in ("$object", "$import", "$env")],
}
_SCHEDULE: Schema = {
    "type": "object",
    "anyOf": [
        {"required": ["timetable"]},
        {"required": ["$object"]},
        {"required": ["uri"]},
        {"required": ["name"]},
        {"required": ["alias"]},
        {
            "minProperties": 1,
            "propertyNames": {
                "enum": sorted({*FORMS, *(key for keys in FORMS.values() for key in keys), "<<"})
            },
        },
    ],
}
_DEADLINE: Schema = {
    "anyOf": [
        _MADE,
        {
            "type": "object",
            "required": ["reference", "interval"],  # and a callback, or the DAG's notify
            "properties": {**{key: cast("Schema", {}) for key in DEADLINE_KEYS}, **_MERGED},
            "additionalProperties": False,
        },
    ]
}
#: Whom to notify: an address or a connection, or the arguments of the provider's notifier.
_TARGETS: Schema = {
    key: {"type": ["string", "object", *(["array"] if target.lists else [])]}
    for key, target in TARGETS.items()
}


def _notify(events: Collection[str]) -> Schema:
    event: Schema = {"anyOf": [{"enum": list(events)}, {"$ref": "#/definitions/parameter"}]}
    one: Schema = {
        "type": "object",
        "required": ["on"],
        "anyOf": [{"required": [key]} for key in (*TARGETS, "<<")],
        "properties": {
            "on": {"anyOf": [event, {"type": "array", "items": event, "minItems": 1}]},
            **_TARGETS,
            **_MERGED,
        },
        "additionalProperties": False,
    }
    return {"anyOf": [one, {"type": "array", "items": one}]}


_ASSET: Schema = {
    "anyOf": [
        _TEXT,
        _MADE,
        {"type": "object", "required": ["$asset"]},
        {"type": "object", "required": ["alias"]},
        {
            "type": "object",
            "minProperties": 1,
            "properties": {**{key: cast("Schema", {}) for key in ASSET_KEYS}, **_MERGED},
            "additionalProperties": False,
        },
    ]
}
_JSON_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}


def json_schema() -> Schema:
    """The schema. Operators that are not installed are in it by name, without their arguments."""
    dag = {**_of_this_airflow(DAG_FIELDS, dag_keys()), **DAG_OWN_FIELDS}
    others: Schema = {key: {} for key in sorted(dag_keys() - dag.keys())}
    dag_id = {"dag_id": {**_TEXT, "description": "The DAG's id."}}
    several: Schema = {
        "required": ["dags"],
        "properties": {
            "dags": {
                "type": "object",
                "description": "DAGs by their ids.",
                "minProperties": 1,
                "additionalProperties": {"$ref": "#/definitions/any_dag"},
                "properties": _MERGED,
            },
            "defaults": {
                "type": ["object", "null"],
                "description": "Keys of a DAG, for every DAG that does not set them.",
                "properties": {**_keys(dag), **others, **_MERGED},
                "additionalProperties": False,
            },
        },
        "patternProperties": _FREE,
        "additionalProperties": False,
    }
    full = _object({**dag_id, **_keys(dag), **others}, required=["dag_id", "tasks"])
    short = _short({**dag_id, **_keys({"for_each": dag["for_each"]})}, required=["dag_id"])
    one = _either({**short, "patternProperties": _FREE}, full, extra=[*_FREE_NAMES])
    one["else"]["patternProperties"] = {**full["patternProperties"], **_FREE}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "DAGs of dag-builder",
        "type": "object",
        # By 'if' and not 'anyOf', so that an editor reports the wrong key and not each form.
        "if": {"required": ["dags"]},
        "then": several,
        "else": one,
        "definitions": {
            "dag": _object({**_keys(dag), **others}, required=["tasks"]),
            "any_dag": {
                "type": "object",
                # Without a condition, so that an editor completes them in an empty DAG too.
                "properties": {key: {"description": field.about} for key, field in dag.items()},
                **_either(
                    _short(_keys({"for_each": dag["for_each"]}), required=[]),
                    {"$ref": "#/definitions/dag"},
                    extra=[],
                ),
            },
            "group": _object(_keys(GROUP_FIELDS), required=["tasks"]),
            "task": _task(),
            "tasks": {
                "type": "object",
                "minProperties": 1,
                "properties": _MERGED,
                "propertyNames": {"anyOf": [{"pattern": _NAME}, {"pattern": _PARAMETER}]},
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
            "default_args": {
                "type": "object",
                "properties": _keys({**_task_fields(), "notify": TASK_OWN_FIELDS["notify"]}),
            },
            "duration": _DURATION,
            "deadline": _DEADLINE,
            "notify": _notify(DAG_EVENTS),
            "task_notify": _notify(TASK_EVENTS),
            "asset": _ASSET,
            "parameter": {
                "type": "string",
                "pattern": _PARAMETER,
                "description": "a parameter of for_each",
            },
            "object": {
                "type": "object",
                "anyOf": [
                    {"required": [marker]}
                    for marker in ("$object", "$import", "$env", "$duration", "$date")
                ],
            },
        },
    }


def _task_fields() -> Mapping[str, Field]:
    return _of_this_airflow(TASK_FIELDS, signature_of("empty").arguments)


def _of_this_airflow(fields: Mapping[str, Field], taken: Collection[str]) -> Mapping[str, Field]:
    """The fields of the table without those of a later release than the one that is installed."""
    return {key: field for key, field in fields.items() if key in taken}


def _either(short: Schema, full: Schema, *, extra: list[str]) -> Schema:
    """The full form unless every value is one of the short form, and no key is a DAG's."""
    only_full = sorted(DAG_FIELDS.keys() - {"tags"}) + sorted(
        DAG_OWN_FIELDS.keys() - {"tasks", "for_each", "notify"}
    )
    link: Schema = {"type": ["string", "array", "null"]}
    return {
        "if": {
            "minProperties": 1,
            "propertyNames": {"not": {"enum": only_full}},
            "properties": {"for_each": {}, "tasks": link, "dag_id": {}},
            "patternProperties": dict.fromkeys(extra, cast("Schema", {})),
            "additionalProperties": link,
        },
        "then": short,
        "else": full,
    }


def _short(properties: Schema, *, required: list[str]) -> Schema:
    """Only tasks, each with the ones before it: no key of a DAG is valid there."""
    return {
        "type": "object",
        "required": required,
        "minProperties": len(required) + 1,
        "propertyNames": {"not": {"enum": sorted(DAG_FIELDS.keys() - {"tags"})}},
        "properties": {**properties, **_MERGED, "tasks": _NAMES},
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
        "properties": {**properties, **_MERGED},
        "patternProperties": {_PARAMETER: {}},
        "additionalProperties": False,
    }


def _task() -> Schema:
    """A task may have the arguments of its operator; those of a known operator are listed."""
    operators = {name: signature for name in OPERATORS if (signature := _signature(name))}
    return {
        "type": "object",
        "not": {"anyOf": [{"required": ["tasks"]}, {"required": ["operator", "callable"]}]},
        "properties": _keys({**_task_fields(), **TASK_OWN_FIELDS}),
        "allOf": [
            {
                "if": {
                    "required": ["operator"],
                    # By a pattern: when yaml-language-server completes keys, it takes 'bash' as
                    # equal to an enum's 'bash_sensor', and would offer the arguments of both.
                    "properties": {"operator": {"pattern": f"^({name}|{class_name(name)})$"}},
                },
                "then": {
                    "properties": {name: _of_argument(signature, name) for name in _own(signature)},
                    "propertyNames": {
                        "anyOf": [
                            {"enum": sorted({*signature.arguments, *TASK_OWN_FIELDS, "<<"})},
                            {"pattern": _PARAMETER},
                        ]
                    },
                },
            }
            for name, signature in operators.items()
        ],
    }


def _of_argument(signature: Signature, name: str) -> Schema:
    """The types that an operator's argument accepts, if its annotation names them."""
    expected = signature.type_of(name)
    if expected.accepted is None:
        return {}
    types = {_JSON_TYPES[kind] for kind in expected.accepted if kind in _JSON_TYPES}
    if expected.converted is not None or expected.templated:
        types.add("string")
    if expected.converted is Kind.DIFFERENCE:
        types.add("number")
    # A mapping may refer to something else: {$output: …}.
    return {"type": sorted(types | {"object"})} if types else {}


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
                    {"type": "string", "pattern": "^[^@]"},
                    {"type": "number", "exclusiveMinimum": 0},
                    {"type": ["null", "array"]},
                    _SCHEDULE,
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
    Kind.MOMENT: {"type": "string", "pattern": r"^\s*[0-9]{4}-?[0-9W]"},
    Kind.CALLBACK: {"anyOf": [_CALLBACK, {"type": "array", "items": _CALLBACK}]},
    Kind.OBJECTS: {"type": "object"},
    Kind.PARAMS: {"type": "object"},
    Kind.ASSETS: {
        "anyOf": [
            {"$ref": "#/definitions/asset"},
            {"type": "array", "items": {"$ref": "#/definitions/asset"}},
        ]
    },
    Kind.DEADLINE: {
        "anyOf": [
            {"$ref": "#/definitions/deadline"},
            {"type": "array", "items": {"$ref": "#/definitions/deadline"}},
        ]
    },
    Kind.NOTIFY: {"$ref": "#/definitions/notify"},
    Kind.TASK_NOTIFY: {"$ref": "#/definitions/task_notify"},
    Kind.WEIGHT_RULE: _TEXT,
    Kind.CALLABLE: _TEXT,
}
#: Keys that must hold something if they are given.
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
    "expand": {"type": "object", "minProperties": 1},
    "expand_kwargs": {"type": ["array", "object"]},
    "operator_defaults": {
        "type": "object",
        "properties": _MERGED,
        "propertyNames": {
            "anyOf": [
                {"enum": [*OPERATORS, *entry_point_names(), *map(class_name, OPERATORS), "<<"]},
                {"pattern": r"[.:]"},
            ]
        },
        "additionalProperties": {"type": ["object", "null"]},
    },
    "teardown": {"type": ["boolean", "string", "array"]},
    "chains": {"type": ["string", "array"]},
    "for_each": {"type": ["array", "object"]},
}

"""Assets, and conditions over them, as text and mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path

if TYPE_CHECKING:
    from dag_builder.read.values import Reader

ASSET_FORMS = "a name, a URI, {name:, uri:, group:, extra:, watchers:} or {alias:}"
ASSET_KEYS = ("name", "uri", "group", "extra", "watchers")
_WATCHERS_FORM = "{watchers: {name: {trigger: package.Trigger, argument: value}}}"


def read_assets(reader: Reader, value: Any, path: Path) -> Any:
    """Inlets or outlets: one asset or a list of them."""
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        return [read_asset(reader, item, (*path, index)) for index, item in enumerate(items)]
    return [read_asset(reader, value, path)]


def read_asset(reader: Reader, value: Any, path: Path) -> Any:
    """One asset: by a name from the DAG's `assets`, by its own name or URI, or as a mapping."""
    from airflow.sdk import Asset, AssetAlias

    if isinstance(value, airflow_internals.base_asset()):
        return value
    if isinstance(value, str):
        if value in reader.assets:
            return reader.assets[value]
        return reader.call(Asset, (value,), {}, path)
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        if "$object" in mapping:
            return reader.new_object(mapping, path)
        if "alias" in mapping:
            return _made(reader, AssetAlias, (mapping["alias"],), mapping, path)
        unknown = [name for name in mapping if name not in ASSET_KEYS]
        for name in unknown:
            reader.problems.add_unknown(
                (*path, name), f"an asset has no {name!r}", name, ASSET_KEYS, on_key=True
            )
        if unknown:
            return NOTHING
        return _made(reader, Asset, (), mapping, path)
    reader.problems.add(path, "this is not an asset", given=value, valid=ASSET_FORMS)
    return NOTHING


def read_condition(reader: Reader, value: Any, path: Path) -> Any:
    """A condition over assets: a list or {all: […]} for each of them, {any: […]} for one."""
    from airflow.sdk import AssetAll, AssetAny

    if isinstance(value, list):
        return _joined(reader, AssetAll, cast("list[Any]", value), path)
    if isinstance(value, Mapping):
        for key, condition in (("all", AssetAll), ("any", AssetAny)):
            if key in value:
                items = cast("Mapping[str, Any]", value)[key]
                if len(cast("Mapping[str, Any]", value)) > 1 or not isinstance(items, list):
                    reader.problems.add(
                        path,
                        f"{key!r} is the only key of a condition and holds a list",
                        given=cast("object", value),
                        valid="{all: [a, {any: [b, c]}]}",
                    )
                    return NOTHING
                return _joined(reader, condition, cast("list[Any]", items), (*path, key))
    return read_asset(reader, value, path)


def _joined(reader: Reader, condition: Any, items: list[Any], path: Path) -> Any:
    found = [read_condition(reader, item, (*path, index)) for index, item in enumerate(items)]
    if not found:
        reader.problems.add(path, "a condition needs at least one asset", given=items)
        return NOTHING
    return NOTHING if NOTHING in found else reader.call(condition, found, {}, path)


def _made(
    reader: Reader, make: Any, args: tuple[Any, ...], mapping: Mapping[str, Any], path: Path
) -> Any:
    """An asset of its arguments, with the markers in them read; `args` are of its ``alias``."""
    items: dict[str, Any] = {}
    for name, item in mapping.items():
        if name == "watchers" and isinstance(item, Mapping):
            items[name] = _watchers(reader, cast("Mapping[str, Any]", item), (*path, name))
        elif name != "alias":
            items[name] = reader.value(item, (*path, name))
    if reader.refuse_references(items, path) or NOTHING in items.values():
        return NOTHING
    return reader.call(make, args, items, path)


def _watchers(reader: Reader, given: Mapping[str, Any], path: Path) -> Any:
    """Watchers by name, each with its trigger's class and arguments."""
    from airflow.sdk import AssetWatcher

    found: list[Any] = []
    for name, value in given.items():
        inner = (*path, str(name))
        if not isinstance(value, Mapping) or "trigger" not in value:
            reader.wrong(inner, cast("object", value), _WATCHERS_FORM)
            return NOTHING
        mapping = cast("Mapping[str, Any]", value)
        made_by = reader.imported(mapping["trigger"], (*inner, "trigger"))
        if made_by is NOTHING:
            return NOTHING
        arguments = {key: item for key, item in mapping.items() if key != "trigger"}
        trigger = reader.new_object({"$object": made_by, **arguments}, inner)
        if trigger is NOTHING:
            return NOTHING
        found.append(reader.call(AssetWatcher, (), {"name": name, "trigger": trigger}, inner))
    return NOTHING if NOTHING in found else found

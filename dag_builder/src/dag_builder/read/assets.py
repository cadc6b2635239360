"""Assets, and conditions over them, as text and mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from dag_builder import airflow_internals
from dag_builder.errors import NOTHING, Path

if TYPE_CHECKING:
    from dag_builder.read.values import Reader

ASSET_FORMS = "a name, a URI, {name:, uri:, group:, extra:} or {alias:}"
ASSET_KEYS = ("name", "uri", "group", "extra")


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
            return reader.call(
                AssetAlias, (mapping["alias"],), _read(reader, mapping, "alias", path), path
            )
        unknown = [name for name in mapping if name not in ASSET_KEYS]
        for name in unknown:
            reader.problems.add_unknown(
                (*path, name), f"an asset has no {name!r}", name, ASSET_KEYS, on_key=True
            )
        if unknown:
            return NOTHING
        return reader.call(Asset, (), _read(reader, mapping, "", path), path)
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


def _read(reader: Reader, mapping: Mapping[str, Any], but: str, path: Path) -> dict[str, Any]:
    """The arguments of an asset, with the markers in them read."""
    items = {
        name: reader.value(item, (*path, name)) for name, item in mapping.items() if name != but
    }
    reader.refuse_references(items, path)
    return items

"""Writes the DAGs of one file: their blocks, and the assets that several places use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dag_builder.eject.code import lines
from dag_builder.eject.dag import DagWriter
from dag_builder.eject.values import UsedAsset, Values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dag_builder.eject.names import Names
    from dag_builder.make.plans import Built


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The lines of each DAG's block, and those of the assets that they share."""

    assets: list[str]
    dags: list[list[str]]


def blocks(
    built: Sequence[Built],
    names: Names,
    texts: Mapping[int, str],
    variables: Mapping[str, str] | None = None,
) -> Blocks:
    """Write DAGs with the names of their module. Raises EjectError.

    `texts` are names of the module for texts, by the texts' id(); `variables` those of DAGs, by
    the DAGs' ids.

    They are written twice: only then are the names that the module imports known, which no
    variable may have, and the assets that several places use.
    """
    assets: dict[str, UsedAsset] = {}
    for one in built:
        values = Values(names=names, origins=one.origins, texts=texts)
        DagWriter(plan=one.plan, values=values).write()
        for key, used in values.assets.items():
            found = assets.setdefault(key, UsedAsset(asset=used.asset, code=used.code))
            found.count += used.count
    shared: dict[str, str] = {}
    written: list[str] = []
    for key, used in assets.items():
        if used.count > 1:
            name = names.variable(used.asset.name, "asset", shared.values())
            shared[key] = name
            written += lines(used.code, before=f"{name} = ")
    names.taken.update(shared.values())
    found_blocks: list[list[str]] = []
    for one in built:
        values = Values(names=names, origins=one.origins, texts=texts, shared=shared)
        variable = (variables or {}).get(one.dag.dag_id, "")
        found_blocks.append(DagWriter(plan=one.plan, values=values, variable=variable).write())
    return Blocks(assets=written, dags=found_blocks)


def joined(found: Blocks) -> list[str]:
    """Return the lines of all blocks, with a blank line between them."""
    parts = [*([found.assets] if found.assets else []), *found.dags]
    return [line for index, part in enumerate(parts) for line in ([""] if index else []) + part]

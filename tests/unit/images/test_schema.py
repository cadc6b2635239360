"""The comparison of the database's schema with what an image has."""

from __future__ import annotations

import schema

CHAINS = {
    "alembic_version": schema.Chain(heads=frozenset({"c"}), known=frozenset({"a", "b", "c"})),
    "alembic_version_fab": schema.Chain(heads=frozenset({"y"}), known=frozenset({"x", "y"})),
}


def found(core: str, fab: str = "y") -> schema.Schema:
    return {"alembic_version": frozenset({core}), "alembic_version_fab": frozenset({fab})}


def test_the_image_s_own_schema_needs_nothing() -> None:
    assert not schema.is_pending(found("c"), CHAINS)
    assert schema.unknown(found("c"), CHAINS) == []


def test_an_older_schema_of_either_package_is_migrated() -> None:
    for older in (found("a"), found("c", "x"), {"alembic_version": frozenset({"c"})}, {}):
        assert schema.is_pending(older, CHAINS)
        assert schema.unknown(older, CHAINS) == []


def test_a_revision_that_the_image_does_not_have_is_named() -> None:
    assert schema.unknown(found("d"), CHAINS) == [
        "alembic_version is d; the newest that this image has is c"
    ]
    assert schema.unknown(found("c", "z"), CHAINS) == [
        "alembic_version_fab is z; the newest that this image has is y"
    ]


def test_a_package_that_is_not_in_the_image_is_passed_over() -> None:
    other = {**found("c"), "alembic_version_edge3": frozenset({"q"})}
    assert schema.unknown(other, CHAINS) == []


def test_a_schema_is_written_in_one_way() -> None:
    assert schema.text(found("c")) == "alembic_version=c alembic_version_fab=y"
    assert schema.label(found("c")) == "c_y"

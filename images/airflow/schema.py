"""Compares the schema of Airflow's database with the revisions that this image's Airflow has.

The schema is what Alembic's version tables name: Airflow's own, and one for each package that
brings tables, such as FAB. Only `chains` imports Airflow, which takes CPU-seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class

    Schema = Mapping[str, frozenset[str]]
    """Alembic's version table → the revisions in it."""

CORE = "alembic_version"


class SchemaError(Exception):
    """The database's schema is not one that this image can bring to its release."""


@dataclass(frozen=True)
class Chain:
    """The revisions that this image has for one version table, and the newest of them."""

    heads: frozenset[str]
    known: frozenset[str]


def current(connection: Connection) -> Schema:
    """Read the version tables that have a revision."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND (tablename = %s OR tablename LIKE %s) ORDER BY tablename",
            (CORE, f"{CORE}\\_%"),
        )
        found: dict[str, frozenset[str]] = {}
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT version_num FROM public."{table}"')  # noqa: S608 - from the catalog
            if revisions := frozenset(row[0] for row in cursor.fetchall()):
                found[table] = revisions
    return found


def text(schema: Schema) -> str:
    """Write a schema in one way, to record and to compare it."""
    return " ".join(f"{table}={','.join(sorted(schema[table]))}" for table in sorted(schema))


def label(schema: Schema) -> str:
    """Name a schema in the name of a dump: its revisions, with a _ between them."""
    return "_".join(revision for table in sorted(schema) for revision in sorted(schema[table]))


def chains() -> dict[str, Chain]:
    """Read the revisions of this image's Airflow and of each package that brings tables."""
    from airflow import settings
    from airflow.utils.db import _get_script_object
    from airflow.utils.db_manager import RunDBManager

    scripts = {CORE: _get_script_object()}
    session_factory: Any = settings.Session
    with session_factory() as session:
        managers: Any = RunDBManager()._managers  # noqa: SLF001 - it has no other list
        for manager in managers:
            scripts[manager.version_table_name] = manager(session).get_script_object()
    return {
        table: Chain(
            heads=frozenset(script.get_heads()),
            known=frozenset(revision.revision for revision in script.walk_revisions()),
        )
        for table, script in scripts.items()
    }


def is_pending(schema: Schema, image: Mapping[str, Chain]) -> bool:
    """Whether a migration has anything to do."""
    return any(schema.get(table) != chain.heads for table, chain in image.items())


def unknown(schema: Schema, image: Mapping[str, Chain]) -> list[str]:
    """Name each version table whose revision this image does not have."""
    return [
        f"{table} is {', '.join(sorted(strange))}; the newest that this image has is"
        f" {', '.join(sorted(chain.heads))}"
        for table, chain in image.items()
        if (strange := schema.get(table, frozenset()) - chain.known)
    ]


def require_known(connection: Connection, image: Mapping[str, Chain], release: str) -> Schema:
    """Return the database's schema.

    Raises:
        SchemaError: this image cannot migrate from it; with the next step.

    """
    schema = current(connection)
    if CORE not in schema and _has_runs(connection):
        msg = (
            "Airflow's database has DAG runs and no schema revision (the table alembic_version is"
            " empty or missing), so that nothing can tell which migrations it needs. Nothing was"
            f" changed.\nNext: {_restore('DUMP')}\nDUMP: one that the command lists without it."
        )
        raise SchemaError(msg)
    strange = unknown(schema, image)
    if not strange:
        return schema
    newest, dump = _history(connection, schema, image)
    back = dump or "DUMP"
    lines = [
        f"Airflow's database has a schema that this image ({release}) does not have:",
        *(f"  {line}." for line in strange),
        "A newer release made it.",
        "Nothing was changed, and no other service of this image starts.",
        f"Next: deploy {newest}.",
        f"Or go back to the data from before: {_restore(back)}",
    ]
    if not dump:
        lines.append("DUMP: one that the command lists without it.")
    raise SchemaError("\n".join(lines))


def _restore(dump: str) -> str:
    return (
        "on the first manager run `docker exec $(docker ps -qf name=airflow_postgres)"
        f" /opt/dairflow/restore.sh {dump}`, then run `pulumi up` again. See docs/database.md."
    )


def value(cursor: Any) -> Any:  # noqa: ANN401 - of any column
    """Return the only column of a query's next row."""
    return cursor.fetchone()[0]


def _has_runs(connection: Connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.dag_run') IS NOT NULL")
        if not value(cursor):
            return False
        cursor.execute("SELECT true FROM public.dag_run LIMIT 1")
        return cursor.fetchone() is not None


def _history(connection: Connection, schema: Schema, image: Mapping[str, Chain]) -> tuple[str, str]:
    """Name the release that made the schema, and the newest dump that this image can take up."""
    known = frozenset().union(*(chain.known for chain in image.values()))
    release = "the release that was deployed before, or a newer one"
    dump = ""
    for recorded, migrated_to, taken in recorded_migrations(connection):
        if migrated_to == text(schema):
            release = f"the release with {recorded}, or a newer one"
        revisions = taken.removesuffix(".dump").rsplit("-", 1)[-1].split("_") if taken else []
        if taken and known.issuperset(revisions):
            dump = taken
    return release, dump


def recorded_migrations(connection: Connection) -> list[tuple[str, str | None, str | None]]:
    """Return each release that was migrated to, the schema then, and the dump from before."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = 'dairflow_migration'"
            " AND column_name IN ('schema', 'dump')"
        )
        if value(cursor) != 2:  # noqa: PLR2004 - both columns; an older image made neither
            return []
        cursor.execute("SELECT release, schema, dump FROM dairflow_migration ORDER BY completed_at")
        return cursor.fetchall()


def record(connection: Connection, release: str, dump: str | None) -> None:
    """Record that the database is at ``release``, with its schema: other services wait for it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS dairflow_migration"
            " (release text PRIMARY KEY, completed_at timestamptz NOT NULL DEFAULT now());"
            "ALTER TABLE dairflow_migration ADD COLUMN IF NOT EXISTS schema text,"
            " ADD COLUMN IF NOT EXISTS dump text"
        )
        cursor.execute(
            "INSERT INTO dairflow_migration (release, schema, dump) VALUES (%s, %s, %s)"
            " ON CONFLICT (release) DO UPDATE SET completed_at = now(), schema = excluded.schema,"
            " dump = coalesce(excluded.dump, dairflow_migration.dump)",
            (release, text(current(connection)), dump),
        )


def is_at(connection: Connection, release: str) -> bool:
    """Whether a migration to ``release`` has completed, and the schema is still the one it made."""
    reached = {name: schema for name, schema, _ in recorded_migrations(connection)}
    return reached.get(release) is not None and reached[release] == text(current(connection))


def has_functions(connection: Connection) -> bool:
    """Whether the database's image is one that makes the functions at its start."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(to_regprocedure(signature) IS NOT NULL) FROM unnest(%s) AS signature",
            (["dairflow.dump_database(text)", "dairflow.back_up(text)"],),
        )
        return value(cursor)


def dump(connection: Connection, schema: Schema) -> str:
    """Let the database's server dump the database; return the dump's name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT dairflow.dump_database(%s)", (label(schema),))
        return value(cursor)


def back_up(connection: Connection) -> None:
    """Let the database's server back up all databases; nothing if backups are off."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT dairflow.back_up('before_migration')")

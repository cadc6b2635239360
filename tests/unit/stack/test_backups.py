"""The parts of the rendered services for backups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.stack.backups import BACKUP_PASSPHRASE, BackupOptions, Bucket
from infra.stack.render import render

if TYPE_CHECKING:
    from infra.stack.options import StackOptions

Compose = dict[str, Any]
SERVICES = ("postgres", "backup")


def rendered(compose: Compose, options: StackOptions, **changes: Any) -> dict[str, Any]:
    backups = BackupOptions(**changes)
    return render(compose, replace(options, backups=backups)).document["services"]


def test_backups_are_made_by_default(compose: Compose, options: StackOptions) -> None:
    services = rendered(compose, options, every_hours=3, retention_days=30)
    assert int(services["backup"]["deploy"]["replicas"]) == 1
    for name in SERVICES:
        assert (
            services[name]["environment"].items()
            >= {
                "BACKUPS": "on",
                "BACKUP_EVERY_HOURS": "3",
                "BACKUP_RETENTION_DAYS": "30",
            }.items()
        )


def test_backups_can_be_off(compose: Compose, options: StackOptions) -> None:
    services = rendered(compose, options, enabled=False)
    assert int(services["backup"]["deploy"]["replicas"]) == 0
    assert {services[name]["environment"]["BACKUPS"] for name in SERVICES} == {"off"}


def test_a_restore_replaces_the_database_alone(compose: Compose, options: StackOptions) -> None:
    before = rendered(compose, options)
    after = rendered(compose, options, restore_from="latest")
    assert {name for name in before if before[name] != after[name]} == {"postgres"}
    assert after["postgres"]["environment"]["RESTORE_FROM"] == "latest"


def test_a_buckets_keys_are_files_of_the_services_that_read_it(
    compose: Compose, options: StackOptions
) -> None:
    bucket = Bucket(
        name="nightly", region="eu-central-1", path="/a", access_key="AKIA0", secret_key="hunter2"
    )
    given = replace(options, backups=BackupOptions(bucket=bucket))
    stack = render(compose, given)
    files = {"backup_s3_access_key", "backup_s3_secret_key"}
    for name, service in stack.document["services"].items():
        mounted = {secret["target"] for secret in service.get("secrets", [])}
        assert files & mounted == (files if name in SERVICES else set()), name
    assert stack.document["services"]["postgres"]["environment"]["BACKUP_S3_PATH"] == "/a"
    assert all(stack.document["secrets"][name]["name"] == stack.secrets[name] for name in files)
    assert "hunter2" not in str(stack)


def test_both_services_share_the_repository_the_data_and_the_socket(
    compose: Compose, options: StackOptions
) -> None:
    """`backup` reads the data's files, which it cannot change, and they are on one machine."""
    services = rendered(compose, options)
    mounts = {
        name: {mount for mount in services[name]["volumes"] if isinstance(mount, str)}
        for name in SERVICES
    }
    data = "postgres:/var/lib/postgresql/data"
    assert {f"{data}:ro"} == mounts["backup"] - mounts["postgres"]
    assert {data, "dumps:/var/lib/postgresql/dumps"} == mounts["postgres"] - mounts["backup"]
    placements = [services[name]["deploy"]["placement"] for name in SERVICES]
    assert placements[0] == placements[1]


@pytest.mark.parametrize("name", ["worker", "scheduler", "api-server", "triggerer", "web"])
def test_no_other_service_has_the_passphrase(
    compose: Compose, options: StackOptions, name: str
) -> None:
    secrets = rendered(compose, options)[name].get("secrets", [])
    assert BACKUP_PASSPHRASE not in {secret["target"] for secret in secrets}

"""What the scripts of the database's image give pgBackRest: the real ones, over files of a test."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[3] / "images" / "postgres"
BUCKET = {
    "BACKUP_S3_BUCKET": "nightly",
    "BACKUP_S3_REGION": "eu-central-1",
    "BACKUP_S3_PATH": "/dairflow",
}


def bash(script: str, **environment: str) -> str:
    sources = ("repository.sh", "restore_cluster.sh", "secret.sh", "settings.sh")
    sourced = "".join(f". {IMAGE}/{source}; " for source in sources)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{sourced}{script}"],
        env={"PATH": "/usr/bin:/bin", "POSTGRES_MAJOR": "17"} | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name in ("backup_passphrase", "backup_s3_access_key", "backup_s3_secret_key"):
        (tmp_path / name).write_text(f"value of {name}")
    return tmp_path


def settings(secrets: Path, **environment: str) -> dict[str, str]:
    """Return the options of the configuration that is written, by their names."""
    file = secrets / "pgbackrest.conf"
    given = {"SECRETS": str(secrets), "PGBACKREST_CONFIG": str(file)}
    bash("write_repository_settings", **given, **environment)
    assert file.stat().st_mode & 0o777 == 0o600
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)


def test_a_repository_is_an_encrypted_folder(secrets: Path) -> None:
    written = settings(secrets, BACKUP_RETENTION_DAYS="30")
    assert (
        written.items()
        >= {
            "repo1-path": "/var/lib/pgbackrest",
            "repo1-cipher-type": "aes-256-cbc",
            "repo1-cipher-pass": "value of backup_passphrase",
            "repo1-retention-full-type": "time",
            "repo1-retention-full": "30",
            "pg1-path": "/var/lib/postgresql/data/17",
        }.items()
    )
    assert "repo1-type" not in written


def test_a_repository_is_a_bucket_of_amazons(secrets: Path) -> None:
    written = settings(secrets, **BUCKET)
    assert (
        written.items()
        >= {
            "repo1-type": "s3",
            "repo1-path": "/dairflow",
            "repo1-s3-bucket": "nightly",
            "repo1-s3-endpoint": "s3.eu-central-1.amazonaws.com",
            "repo1-s3-uri-style": "host",
            "repo1-s3-key-secret": "value of backup_s3_secret_key",
            "repo1-cipher-type": "aes-256-cbc",
        }.items()
    )
    assert "repo1-storage-ca-file" not in written


def test_a_repository_is_a_bucket_of_another_server(secrets: Path) -> None:
    (secrets / "backup_s3_ca").write_text("-----BEGIN CERTIFICATE-----")
    written = settings(secrets, **BUCKET, BACKUP_S3_ENDPOINT="s3.example.org:9000")
    assert written["repo1-s3-endpoint"] == "s3.example.org:9000"
    assert written["repo1-s3-uri-style"] == "path"
    assert written["repo1-storage-ca-file"] == str(secrets / "backup_s3_ca")


@pytest.mark.parametrize(
    "name", ["backup_passphrase", "backup_s3_access_key", "backup_s3_secret_key"]
)
def test_an_empty_secret_ends_the_start(secrets: Path, name: str) -> None:
    (secrets / name).write_text("")
    with pytest.raises(subprocess.CalledProcessError) as raised:
        settings(secrets, **BUCKET)
    assert raised.value.stderr == f"the secret {name} is empty\n"
    assert not (secrets / "pgbackrest.conf").exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("latest", ["--type=default"]),
        (
            "2026-11-27T10:15:00.5+02:00",
            ["--type=time", "--target-action=promote", "--target=2026-11-27 08:15:00.500000+00"],
        ),
        (
            "20261127-101500F_20261127-161500I",
            [
                "--type=immediate",
                "--target-action=promote",
                "--set=20261127-101500F_20261127-161500I",
            ],
        ),
    ],
)
def test_what_is_restored_becomes_options(source: str, expected: list[str]) -> None:
    assert bash("restore_options", RESTORE_FROM=source).splitlines() == expected


def test_wal_is_archived_a_minute_after_it_began_at_the_latest() -> None:
    on = bash("archive_settings", BACKUPS="on")
    assert "archive_timeout = 60s" in on
    # pgBackRest refuses a command that does not have its name.
    command = re.search(r"archive_command = '(\S+) %p'", on)
    assert command
    assert "pgbackrest" in command[1]
    assert (IMAGE / Path(command[1]).name).exists()
    assert bash("archive_settings") == "archive_mode = off"

"""Secret options of Airflow's: `migrate` refuses those that Airflow would ignore."""

from __future__ import annotations

import migrate
import pytest


def test_a_secret_option_that_airflow_would_ignore_ends_the_migration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Airflow runs the command of an option that a section's description marks as sensitive."""
    monkeypatch.setenv("AIRFLOW__SENTRY__SENTRY_DSN_CMD", "cat x")
    monkeypatch.setenv("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SENTINEL_KWARGS_CMD", "cat x")
    migrate.refuse_ignored_secrets()
    monkeypatch.setenv("AIRFLOW__A_PROVIDER__PASSWORD_CMD", "cat x")
    with pytest.raises(SystemExit, match=r"environment alone: a_provider\.password\."):
        migrate.refuse_ignored_secrets()

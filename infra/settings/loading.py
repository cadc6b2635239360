"""Reads the current stack's settings: the only reader of ``pulumi.Config``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi import runtime

from infra.images import build_context
from infra.program_errors import shown_to_users
from infra.project import ROOT
from infra.settings.airflow import KEY as AIRFLOW_CONFIG
from infra.settings.parse import parse
from infra.settings.secret_values import secret_texts, with_secrets

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from infra.settings.model import Settings
    from infra.settings.target_rules import TargetRules


def load(targets: Mapping[str, TargetRules[Any]]) -> Settings:
    """Read the current stack's settings; ``targets`` is the table of targets.

    Raises:
        pulumi.RunError: lists every problem; Pulumi shows it without a traceback.

    """
    names = _names(targets)
    texts = {key: runtime.get_config(name) for key, name in names.items()}
    raw = {key: _decode(text) for key, text in texts.items() if text is not None}
    file = ROOT / f"Pulumi.{pulumi.get_stack()}.yaml"

    def secrets() -> Collection[str]:
        holders = {name: raw[key] for key, name in names.items() if key in raw}
        return secret_texts(
            {name: value for name, value in holders.items() if runtime.is_config_secret(name)},
            file,
        )

    with shown_to_users():
        build_context.refuse_credentials(os.environ)
        build_context.refuse_credentials_in_files(ROOT / "images/airflow")
        return parse(_with_secret_options(raw, names, file), targets, secrets)


def _names(targets: Mapping[str, TargetRules[Any]]) -> Mapping[str, str]:
    """Return the full names of all settings and of unknown ones, by key."""
    prefix = pulumi.Config().full_key("")
    given = (name for name in runtime.get_config_env() if name.startswith(prefix))
    names = {key: f"{prefix}{key}" for target in targets.values() for key in target.fields}
    names |= {name.removeprefix(prefix): name for name in given}
    target = targets.get(runtime.get_config(names["target"]) or "")
    for key, name in target.provider_keys.items() if target else ():
        if not runtime.get_config(names[key]):
            names[key] = name
    return names


def _with_secret_options(
    raw: Mapping[str, Any], names: Mapping[str, str], file: Path
) -> Mapping[str, Any]:
    """Mark the options of Airflow that are secret."""
    if AIRFLOW_CONFIG not in raw or not runtime.is_config_secret(names[AIRFLOW_CONFIG]):
        return raw
    return {**raw, AIRFLOW_CONFIG: with_secrets(raw[AIRFLOW_CONFIG], names[AIRFLOW_CONFIG], file)}


def _decode(text: str) -> object:
    """Decode a setting: Pulumi passes lists and objects as JSON text."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text

"""A stack of an older release meets a newer one, with the real Pulumi and no machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.stack.secrets import SECRET_NAMES

pytestmark = pytest.mark.contract
ROOT = Path(__file__).parents[2]

PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})

import pulumi
from infra.resources.keys import Secrets
from infra.stack.secrets import require

made = Secrets("secrets", rotations={{}}, given={{}})
pulumi.export("complete", made.values.apply(require))
pulumi.export("values", made.values)
"""


def test_an_older_stack_is_given_the_secrets_of_this_release(tmp_path: Path) -> None:
    """One is added and one is removed. Its preview works too, without the new values."""
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: upgrade\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase for tests",
        "PYTHONPATH": str(ROOT),
    }

    def pulumi(*arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def values() -> Any:
        return json.loads(pulumi("stack", "output", "values", "--json", "--show-secrets"))

    pulumi("stack", "init", "test")
    pulumi("up", "--yes", "--skip-preview")
    state = json.loads(pulumi("stack", "export", "--show-secrets"))
    (resource,) = (r for r in state["deployment"]["resources"] if "Secrets" in r["type"])
    for properties in (resource["inputs"], resource["outputs"]):
        properties["names"].remove("warehouse_password")
        properties["names"].append("celery_results_password")
    secret = resource["outputs"]["values"]
    before = json.loads(secret["plaintext"])
    del before["warehouse_password"]
    secret["plaintext"] = json.dumps({**before, "celery_results_password": "older"})
    (tmp_path / "older.json").write_text(json.dumps(state))
    pulumi("stack", "import", "--file", "older.json")
    pulumi("up", "--yes")
    after = values()
    assert set(after) == {*SECRET_NAMES, "registry_password", "naming_key"}
    assert {name: after[name] for name in before} == before

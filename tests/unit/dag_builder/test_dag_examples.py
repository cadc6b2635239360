"""What the functions of the example DAGs do with data that is not all good."""

import importlib.util
import os
import time
import types
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[3] / "dags"


def example(name: str) -> types.ModuleType:
    specification = importlib.util.spec_from_file_location(f"example_{name}", DAGS / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


#: Made before pytest captures a test's output: the first import of Airflow sets up logging.
TOTALS = example("file_totals")


def test_orders_that_are_not_complete_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    module = example("orders_etl")
    rows = [
        {"id": "1", "day": "2026-01-01", "country": "fr", "amount": "1.50"},
        {"id": "2", "day": "2026-01-01", "country": "fr", "amount": "n/a"},
        {"id": "3", "day": "2026-01-01", "country": "", "amount": "2"},
    ]
    assert module.transform(rows) == [["1", "2026-01-01", "fr", "1.50"]]
    printed = capsys.readouterr().out
    assert "order 2 left out: 'n/a' is not an amount" in printed
    assert "order 3 left out: it has no country" in printed
    read = module.extract()
    assert 0 < len(module.transform(read)) < len(read)


def test_an_empty_report_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="run another DAG first"):
        example("cluster_report").draw([])


def test_files_add_up() -> None:
    module = TOTALS
    totals = [module.total(name) for name in module.files()]
    assert len(totals) == 3
    assert sum(one["wrong"] for one in totals) == 3
    assert float(module.sum_up(totals)) == pytest.approx(sum(float(t["amount"]) for t in totals))


@pytest.mark.parametrize("dry_run", [True, False])
def test_only_old_logs_go_and_only_when_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dry_run: bool
) -> None:
    module = example("tidy_logs")
    old, new = tmp_path / "dag" / "old.log", tmp_path / "new.log"
    old.parent.mkdir()
    old.write_text("old")
    new.write_text("new")
    long_ago = time.time() - 31 * module.SECONDS_A_DAY
    os.utime(old, (long_ago, long_ago))
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    found = module.find({"keep_days": 30})
    assert found == [str(old)]
    assert module.choose(found) == "delete"
    assert module.choose([]) == "nothing_to_do"
    assert module.delete(found, {"dry_run": dry_run}) == 3
    assert old.exists() is dry_run
    assert new.exists()


def test_a_log_that_another_worker_has_is_left_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert example("tidy_logs").delete(["/not/here.log"], {"dry_run": False}) == 0
    assert "not on this worker: /not/here.log" in capsys.readouterr().out


def test_full_disk_is_an_alarm() -> None:
    module = example("machine_watch")
    event = types.SimpleNamespace(extra={"host": "worker-1", "disk_percent": 12.5})
    events: dict[str, list[Any]] = {"machine": [event]}
    assert module.judge(events, {"least_disk_percent": 10}) == 1
    with pytest.raises(RuntimeError, match="too little disk is left on worker-1"):
        module.judge(events, {"least_disk_percent": 20})


def test_measurement_is_in_the_event() -> None:
    module = example("machine_watch")
    outlet = types.SimpleNamespace(extra=None)

    class Events(dict[Any, Any]):
        def __missing__(self, asset: Any) -> Any:
            assert asset.name == "machine"
            return outlet

    found = module.measure(Events())
    assert outlet.extra == found
    assert 0 <= found["disk_percent"] <= 100
    assert 0 <= found["memory_percent"] <= 100

"""The page that shows what tasks have drawn."""

import importlib.util
import re
from pathlib import Path

PLUGIN = Path(__file__).parents[3] / "images" / "airflow" / "plugins" / "pictures.py"
PIXEL = "data:image/png;base64,iVBORw0KGgo="

specification = importlib.util.spec_from_file_location("pictures", PLUGIN)
assert specification
assert specification.loader
pictures = importlib.util.module_from_spec(specification)
specification.loader.exec_module(pictures)


def test_each_picture_is_shown_under_the_name_of_its_task() -> None:
    page = pictures.page([("draw", -1, PIXEL), ("each", 0, PIXEL), ("each", 1, PIXEL)])
    assert re.findall("<figcaption>(.*?)</figcaption>", page) == ["draw", "each [0]", "each [1]"]
    assert page.count(f'src="{PIXEL}"') == 3


def test_whatever_else_a_task_returned_is_not_put_into_the_page() -> None:
    for other in (None, 7, {"a": PIXEL}, f'{PIXEL}"><script>', "data:text/html;base64,aa"):
        page = pictures.page([("task", -1, other)])
        assert "<img" not in page
        assert "script" not in page
        assert "No task of this run has returned a picture" in page


def test_the_tab_leads_to_the_page_of_its_run() -> None:
    (view,) = pictures.Pictures.external_views
    (app,) = pictures.Pictures.fastapi_apps
    assert view["destination"] == "dag_run"
    assert view["href"] == f"{app['url_prefix']}/{{DAG_ID}}/{{RUN_ID}}"

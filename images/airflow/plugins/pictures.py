"""The tab "Pictures" of a run: every picture that one of its tasks has returned.

A picture is a result (XCom) that is a ``data:`` URL of a PNG. It is in Airflow's database, so that
it is there whichever node drew it, and is deleted with its run.
"""

import re
from collections.abc import Iterable
from functools import cache
from html import escape
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/pictures"
START = "data:image/png;base64,"
PICTURE = re.compile(re.escape(START) + r"[A-Za-z0-9+/]+={0,2}")
STYLE = (
    "body{font:14px system-ui,sans-serif;margin:16px;color:#777}"
    "img{max-width:100%;display:block;background:#fff;margin:4px 0 24px}"
)


def page(results: Iterable[tuple[str, int, Any]]) -> str:
    """Return the HTML for results given as task, map index (-1 for none) and value."""
    pictures = [
        f"<figure><figcaption>{escape(task)}{f' [{index}]' if index >= 0 else ''}</figcaption>"
        f'<img alt="{escape(task, quote=True)}" src="{value}"></figure>'
        for task, index, value in results
        if isinstance(value, str) and PICTURE.fullmatch(value)
    ]
    hint = "<p>No task of this run has returned a picture (a data: URL of a PNG).</p>"
    body = "".join(pictures) or hint
    return f"<!doctype html><title>Pictures</title><style>{STYLE}</style>{body}"


@cache
def application() -> Any:  # noqa: ANN401 - ASGI
    """Make the part of the web server that answers; the other parts of Airflow never need it."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.common.db.common import SessionDep
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from airflow.models.xcom import XComModel
    from fastapi import Depends, FastAPI
    from fastapi.responses import HTMLResponse
    from sqlalchemy import String, cast, select

    app = FastAPI(title="Pictures", openapi_url=None)
    may_read_results = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))

    @app.get("/{dag_id}/{run_id}", dependencies=[may_read_results])
    def pictures(dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
        query = (
            select(XComModel.task_id, XComModel.map_index, XComModel.value)
            .where(XComModel.dag_id == dag_id, XComModel.run_id == run_id)
            .where(cast(XComModel.value, String).startswith(f'"{START}'))  # its JSON
            .order_by(XComModel.task_id, XComModel.map_index)
        )
        return HTMLResponse(page(session.execute(query).tuples()))

    return app


async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    """Answer a request under ``PREFIX``."""
    await application()(scope, receive, send)


class Pictures(AirflowPlugin):
    """The tab and what it shows."""

    name = "pictures"
    fastapi_apps = [{"name": "Pictures", "app": answer, "url_prefix": PREFIX}]  # noqa: RUF012
    external_views = [  # noqa: RUF012 - Airflow's own way
        {
            "name": "Pictures",
            "href": f"{PREFIX}/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "pictures",
        }
    ]

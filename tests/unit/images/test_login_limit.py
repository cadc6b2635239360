"""The limit on refused logins, in front of a web application that has one password."""

import asyncio
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response

PLUGIN = Path(__file__).parents[3] / "images" / "airflow" / "plugins" / "login_limit.py"

specification = importlib.util.spec_from_file_location("login_limit", PLUGIN)
assert specification
assert specification.loader
login_limit: Any = importlib.util.module_from_spec(specification)
specification.loader.exec_module(login_limit)

Client = Callable[..., httpx.Response]


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("AIRFLOW__FAB__AUTH_RATE_LIMITED", "True")
    monkeypatch.setenv("AIRFLOW__FAB__AUTH_RATE_LIMIT", "3 per 40 second")
    app = FastAPI()

    @app.post("/auth/token/cli")
    @app.post("/auth/token")
    def token(password: str) -> Response:
        return Response(status_code=201 if password == "right" else 401)

    @app.post("/api/v2/anything")
    def anything() -> Response:
        return Response(status_code=401)

    (middleware,) = login_limit.LoginLimitPlugin.fastapi_root_middlewares
    limited = middleware["middleware"](app)

    async def send(address: str, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(limited, client=(address, 50000))
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            return await client.post(path)

    return lambda path, address="192.0.2.1": asyncio.run(send(address, path))


def test_an_address_that_was_refused_too_often_waits(post: Client) -> None:
    assert [post(f"/auth/token?password=guess{n}").status_code for n in range(3)] == [401] * 3
    answer = post("/auth/token?password=right")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "40"
    assert answer.json() == {"detail": "Too many refused logins. Try again in 40 s."}
    assert post("/auth/token/cli?password=right").status_code == 429
    assert post("/auth/token?password=right", "192.0.2.2").status_code == 201


def test_successes_and_other_requests_do_not_count(post: Client) -> None:
    assert {post("/auth/token?password=right").status_code for _ in range(10)} == {201}
    assert {post("/api/v2/anything").status_code for _ in range(10)} == {401}
    assert post("/auth/token?password=wrong").status_code == 401


def test_airflows_switch_turns_it_off(post: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FAB__AUTH_RATE_LIMITED", "False")
    assert {post("/auth/token?password=wrong").status_code for _ in range(10)} == {401}

"""A limit on refused logins to Airflow's API (`POST /auth/token`).

Airflow's login page has one: `[fab] auth_rate_limit`, 5 requests in 40 s. The provider (3.10.2)
does not apply it to the API, which takes the same passwords. This applies the same setting. Only
refused requests count, so that a program that logs in often is not limited.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from http import HTTPStatus
from json import dumps
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PATH = "/auth/token"
SECTION = "fab"


class LoginLimit:
    """ASGI middleware that answers 429 to an address that was refused too often."""

    def __init__(self, app: App) -> None:
        """Put it in front of ``app``; the setting is read at the first login."""
        self._app = app

    @cached_property
    def _limit(self) -> Any:  # noqa: ANN401 - limits.RateLimitItem; only a web server imports it
        from airflow.configuration import conf
        from limits import parse

        if not conf.getboolean(SECTION, "auth_rate_limited"):
            return None
        return parse(conf.get(SECTION, "auth_rate_limit"))

    @cached_property
    def _refused(self) -> Any:  # noqa: ANN401
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        return MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on unless it is a login over the limit."""
        if not _is_login(scope) or self._limit is None:
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or [""])[0]
        if not self._refused.test(self._limit, address):
            await _too_many(send, self._limit.get_expiry())
            return

        async def count(message: Message) -> None:
            if message.get("status") == HTTPStatus.UNAUTHORIZED:
                self._refused.hit(self._limit, address)
            await send(message)

        await self._app(scope, receive, count)


def _is_login(scope: Message) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and PATH in scope["path"]


async def _too_many(send: Send, seconds: int) -> None:
    body = dumps({"detail": f"Too many refused logins. Try again in {seconds} s."}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(seconds).encode()),
    ]
    status = HTTPStatus.TOO_MANY_REQUESTS.value
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class LoginLimitPlugin(AirflowPlugin):
    """Puts the limit in front of the web server."""

    name = "login_limit"
    fastapi_root_middlewares = [  # noqa: RUF012 - Airflow's own way
        {"name": "Limit on refused logins", "middleware": LoginLimit}
    ]

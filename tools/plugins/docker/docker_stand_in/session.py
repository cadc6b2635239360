"""A BuildKit session: the connection on which the engine asks this process for the build context.

The engine turns a request to ``/session`` into a connection of its own, on which it is the client
of gRPC services here (moby/buildkit, ``session/grpc.go``). Without a session, an engine that keeps
images in containerd's store cannot read a context that comes with the request (26.1 and older).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import docker
    import requests

_grpc: Any = grpc
"""Its published types are too partial for a strict check."""
_PULL = "/moby.upload.v1.Upload/Pull"
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""``HealthCheckResponse{status: SERVING}``, without which the engine ends the session after 5 s."""
_BYTES_FIELD = b"\x0a"
"""The tag of ``BytesMessage{bytes data = 1}``."""
_CALLS_AT_ONCE = 8
_PIECE_BYTES = 1 << 16


@contextlib.contextmanager
def session(
    client: docker.APIClient, context: Callable[[], Iterable[bytes]]
) -> Generator[dict[str, str]]:
    """Open a session that serves ``context``; yield the parameters of a build that uses it.

    Raises:
        requests.RequestException: the engine cannot be reached.
        docker.errors.APIError: the engine refused.

    """
    identity = uuid.uuid4().hex
    server = grpc.server(ThreadPoolExecutor(_CALLS_AT_ONCE))
    server.add_generic_rpc_handlers((_Services(context),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        response = _opened(client, identity)
        with contextlib.closing(response), socket.create_connection(("127.0.0.1", port)) as near:
            _join(client, response, near)
            yield {
                "session": identity,
                "remote": f"http://buildkit-session/{identity}",
            }
    finally:
        server.stop(grace=None)


def _opened(client: docker.APIClient, identity: str) -> requests.Response:
    answer = client.post(
        f"{client.base_url}/v{client.api_version}/session",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "h2c",
            "X-Docker-Expose-Session-Uuid": identity,
            "X-Docker-Expose-Session-Name": "dairflow",
            "X-Docker-Expose-Session-Sharedkey": "",
            "X-Docker-Expose-Session-Grpc-Method": _PULL,
        },
        stream=True,
    )
    cast("Any", client)._raise_for_status(answer)  # noqa: SLF001
    return answer


def _join(client: docker.APIClient, response: requests.Response, near: socket.socket) -> None:
    """Pass everything on between the engine's connection and this process's own server."""
    raw: Any = cast("Any", client)._get_raw_response_socket(response)  # noqa: SLF001
    far: Any = getattr(raw, "_sock", raw)
    # What the engine sent right behind its answer is in the response's buffer already.
    received: Any = cast("Any", response.raw)._fp.fp  # noqa: SLF001

    _pass_on(lambda: received.read1(_PIECE_BYTES), near)
    _pass_on(lambda: near.recv(_PIECE_BYTES), far)


def _pass_on(read: Callable[[], bytes], target: socket.socket) -> None:
    def work() -> None:
        # Whichever side ends first, the other one's end adds nothing.
        with contextlib.suppress(OSError, ValueError):
            while piece := read():
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=work, daemon=True).start()


def _is_serving(_request: object, _context: object) -> bytes:
    return _SERVING


class _Services(grpc.GenericRpcHandler):
    """What the engine may call: the upload of the context, and whether the session lives."""

    def __init__(self, context: Callable[[], Iterable[bytes]]) -> None:
        self._context = context

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401
        method: str = cast("Any", handler_call_details).method
        if method == _PULL:
            return _grpc.stream_stream_rpc_method_handler(self._pull)
        if method == _HEALTH:
            return _grpc.unary_unary_rpc_method_handler(_is_serving)
        return None

    def _pull(self, _requests: object, _context: object) -> Iterator[bytes]:
        for piece in self._context():
            yield _BYTES_FIELD + _varint(len(piece)) + piece


def _varint(number: int) -> bytes:
    """Write a length as protobuf does: seven bits a byte, the lowest first."""
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*written, number))

"""The plugin's life: a port for the engine, and an end as soon as the engine ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from pulumi.runtime._grpc_settings import (  # pyright: ignore[reportPrivateUsage]
    _GRPC_CHANNEL_OPTIONS,  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]
)
from pulumi.runtime.proto import provider_pb2_grpc

from . import schema
from .cancellation import Cancellation
from .journal import Journal
from .provider import StandIn

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALLS_AT_ONCE = 64
_LAST_ANSWERS_SECONDS = 1.0


def serve(arguments: Sequence[str]) -> NoReturn:
    """Serve until the engine goes, or asks by a signal.

    The engine gives its own address as the last argument and reads the plugin's port from the
    first line of standard output.
    """
    ended = threading.Event()
    journal, cancellation = Journal(), Cancellation()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    options: Any = _GRPC_CHANNEL_OPTIONS
    schema.image_inputs()  # before any thread: it sets up the package's import
    server = grpc.server(ThreadPoolExecutor(_CALLS_AT_ONCE), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(StandIn(journal, cancellation), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    if arguments:
        channel = grpc.insecure_channel(arguments[-1], options=options)
        journal.attach(channel)
        _end_with_the_engine(channel, ended)
    ended.wait()
    cancellation.cancel()
    server.stop(grace=_LAST_ANSWERS_SECONDS).wait(_LAST_ANSWERS_SECONDS)
    # Not sys.exit: it would wait for threads that wait for Docker; the kernel closes their
    # connections, and Docker's engine ends the work behind them.
    os._exit(0)


def _end_with_the_engine(channel: grpc.Channel, ended: threading.Event) -> None:
    """Set the event once the connection to the engine is lost: it was killed."""
    was_ready = threading.Event()

    def changed(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            was_ready.set()
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE and was_ready.is_set():
            ended.set()

    channel.subscribe(changed, try_to_connect=True)

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
_ENDINGS = frozenset({signal.SIGINT, signal.SIGTERM})
_LAST_ANSWERS_SECONDS = 1.0


def serve(arguments: Sequence[str]) -> NoReturn:
    """Serve until the engine goes, or asks by a signal.

    The engine gives its own address as the last argument and reads the plugin's port from the
    first line of standard output.
    """
    # Blocked before the first thread, so in all of them: the signal stays pending until sigwait.
    # (A handler may run while the main thread holds the lock that the handler needs.)
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    journal, cancellation = Journal(), Cancellation()
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
        _end_with_the_engine(channel)
    signal.sigwait(_ENDINGS)
    cancellation.cancel()
    server.stop(grace=_LAST_ANSWERS_SECONDS).wait(_LAST_ANSWERS_SECONDS)
    # Not sys.exit: it would wait for threads that wait for Docker; the kernel closes their
    # connections, and Docker's engine ends the work behind them.
    os._exit(0)


def _end_with_the_engine(channel: grpc.Channel) -> None:
    """End this process once the engine is gone: it was killed, and could not ask for the end.

    A lost connection makes the channel idle (as half an hour without a call does): it is then
    made to connect again, and fails if nobody listens any more.
    """
    was_ready = threading.Event()

    def changed(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            was_ready.set()
        elif not was_ready.is_set():
            return
        elif state is grpc.ChannelConnectivity.IDLE:
            channel.unsubscribe(changed)
            channel.subscribe(changed, try_to_connect=True)
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            os.kill(os.getpid(), signal.SIGTERM)

    channel.subscribe(changed, try_to_connect=True)

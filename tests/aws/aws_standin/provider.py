"""The ``ResourceProvider`` service: what the engine asks, and the answers."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn

import boto3
import grpc
from botocore.exceptions import BotoCoreError, ClientError
from docker_stand_in.values import decode, encode, plain
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from aws_standin import schema
from aws_standin.kinds import KINDS
from aws_standin.resources import Clients, Kind, RefusedError, get_ami

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVED_SETTINGS = frozenset(
    # The last two have defaults in pulumi_aws, and so are always there.
    {"region", "profile", "skipCredentialsValidation", "skipRegionValidation"}
)
_GET_AMI = "aws:ec2/getAmi:getAmi"


def _answering(method: Any) -> Any:
    """Turn what EC2 refuses into the engine's own error."""

    @functools.wraps(method)
    def answered(self: StandIn, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except (RefusedError, BotoCoreError, ClientError) as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))

    return answered


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """The stand-in's side of the protocol; one object for the plugin's whole life."""

    def __init__(self) -> None:
        self._clients: Clients | None = None

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=schema.version())

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        given = decode(request.news).keys() - {"version"}
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"Provider.{name} is not served")
            for name in sorted(given - _SERVED_SETTINGS)
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        given = decode(request.args)
        session = boto3.Session(
            profile_name=plain(given.get("profile")), region_name=plain(given.get("region"))
        )
        self._clients = functools.cache(session.client)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @_answering
    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.tok != _GET_AMI:
            message = f"The function {request.tok} is not served by this stand-in"
            raise RefusedError(message)
        found = get_ami(self._clients("ec2"), plain(decode(request.args)))
        return provider_pb2.InvokeResponse(**{"return": encode(found)})

    @_answering
    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        found = schema.problems(kind.TOKEN, decode(request.news), kind.INPUTS)
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason)
            for name, reason in found.items()
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_answering
    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        old, new = decode(request.old_inputs), decode(request.news)
        changed = sorted(
            key for key in old.keys() | new.keys() if plain(old.get(key)) != plain(new.get(key))
        )
        answer = provider_pb2.DiffResponse
        return answer(
            changes=answer.DIFF_SOME if changed else answer.DIFF_NONE,
            diffs=changed,
            replaces=[key for key in changed if key in kind.REPLACED_BY],
        )

    @_answering
    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        inputs = decode(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(id="", properties=request.properties)
        identity = kind.create(plain(inputs))
        return provider_pb2.CreateResponse(
            id=identity, properties=encode({**inputs, **_outputs(kind, identity)})
        )

    @_answering
    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        inputs = decode(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=request.news)
        kind.update(request.id, plain(decode(request.old_inputs)), plain(inputs))
        return provider_pb2.UpdateResponse(
            properties=encode({**inputs, **_outputs(kind, request.id)})
        )

    @_answering
    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        found = kind.read(request.id)
        if found is None:
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(
            id=request.id,
            inputs=request.inputs,
            properties=encode({**decode(request.properties), **found}),
        )

    @_answering
    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        kind.delete(request.id, plain(decode(request.properties)))
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def _kind(self, urn: str) -> Kind:
        token = urn.split("::")[2].rsplit("$", maxsplit=1)[-1]
        if token not in KINDS:
            message = f"The resource type {token} is not served by this stand-in"
            raise RefusedError(message)
        return KINDS[token](self._clients)


def _outputs(kind: Kind, identity: str) -> Mapping[str, Any]:
    found = kind.read(identity) or {}
    unknown = found.keys() - schema.outputs(kind.TOKEN)
    assert not unknown, f"{kind.TOKEN} has no such outputs: {unknown}"
    return found


def serve() -> NoReturn:
    """Serve until the engine goes, or asks by a signal."""
    server = grpc.server(ThreadPoolExecutor(32), options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(StandIn(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    os._exit(0)


def _end_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

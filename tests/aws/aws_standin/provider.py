"""The ``ResourceProvider`` service: the engine's requests, and the answers."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import boto3
import grpc
from botocore.exceptions import BotoCoreError, ClientError
from docker_stand_in.values import decode, encode, plain
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from aws_standin import schema, upstream
from aws_standin.kinds import KINDS
from aws_standin.resources import Clients, Kind, RefusedError, get_ami

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
        """Another region is another provider, and replaces all that the old one made."""
        old, new = plain(decode(request.old_inputs)), plain(decode(request.news))
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        answer = provider_pb2.DiffResponse
        return answer(
            changes=answer.DIFF_SOME if changed else answer.DIFF_NONE,
            diffs=changed,
            replaces=[name for name in changed if name == "region"],
        )

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
        found = schema.problems(kind.TOKEN, decode(request.news), upstream.served(kind.TOKEN))
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason)
            for name, reason in found.items()
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_answering
    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        old, new = plain(decode(request.olds)), plain(decode(request.news))
        changed = upstream.changes(kind.TOKEN, old, new)
        sometimes = kind.replaced_sometimes(frozenset(changed), old, new)
        answer = provider_pb2.DiffResponse
        return answer(
            changes=answer.DIFF_SOME if changed else answer.DIFF_NONE,
            diffs=changed,
            replaces=sorted({*upstream.replacing(kind.TOKEN, changed), *sometimes}),
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
        old = decode(request.olds)
        merged = upstream.with_what_stays(kind.TOKEN, old, inputs)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=encode({**old, **merged}))
        changed = upstream.changes(kind.TOKEN, plain(old), plain(inputs))
        kind.update(request.id, frozenset(changed), plain(old), plain(merged))
        return provider_pb2.UpdateResponse(
            properties=encode({**merged, **_outputs(kind, request.id)})
        )

    @_answering
    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind = self._kind(request.urn)
        found = kind.read(request.id)
        if found is None:
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(
            id=request.id,
            inputs=encode(_as_found(decode(request.inputs), found)),
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


def _as_found(given: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the inputs that were given, with the values that AWS has now."""
    seen: dict[str, Any] = {}
    for name, value in given.items():
        if name not in found or plain(value) == found[name]:
            seen[name] = value
        elif isinstance(value, Mapping) and not name.endswith("ags"):
            seen[name] = _as_found(value, found[name])
        else:
            seen[name] = found[name]
    return seen


def serve() -> NoReturn:
    """Serve until the engine ends, or sends a signal."""
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

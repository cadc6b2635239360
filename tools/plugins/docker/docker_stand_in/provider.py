"""The ``ResourceProvider`` service: what the engine asks, and the answers."""

# Names and signatures are the protocol's; its stubs have no types.
# ruff: noqa: N802, ARG002, ANN401

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import (  # pyright: ignore[reportPrivateUsage]
    _GRPC_CHANNEL_OPTIONS,  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]
)
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from . import inputs as image_inputs
from .cancellation import Cancellation, Cancelled
from .difference import Change, changes
from .errors import EngineError, explain
from .image import SAVED_INPUTS, Image
from .refusals import IMAGE_TYPE, not_served
from .schema import provider_inputs, version
from .values import Properties, decode, encode, has_unknown, plain, secret_texts

if TYPE_CHECKING:
    from .journal import Journal, Report

_SERVED_SETTINGS = frozenset({"host", "disableDockerDaemonCheck"})
_KINDS = {
    Change.ADDED: provider_pb2.PropertyDiff.ADD,
    Change.DELETED: provider_pb2.PropertyDiff.DELETE,
    Change.UPDATED: provider_pb2.PropertyDiff.UPDATE,
}

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _for_images(method: _Method) -> _Method:
    """Refuse resources of any other type, by name."""

    @functools.wraps(method)
    def guarded(self: StandIn, request: Any, context: grpc.ServicerContext) -> Any:
        kind = request.urn.split("::")[2].split("$")[-1]
        if kind != IMAGE_TYPE:
            _refuse(context, not_served(f"The resource type {kind}"))
        return method(self, request, context)

    return guarded  # pyright: ignore[reportReturnType]


def _refuse(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
    raise AssertionError(message)  # abort has raised already; its type does not say so


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """The stand-in's side of the protocol; one object for the plugin's whole life."""

    def __init__(self, journal: Journal, cancellation: Cancellation) -> None:
        """Begin unconfigured: the engine of ``DOCKER_HOST``, or this machine's own."""
        self._journal = journal
        self._cancellation = cancellation
        self._host: str | None = None

    # About the plugin

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer the version of the package that the stand-in was tested against."""
        return plugin_pb2.PluginInfo(version=version())

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Ask for secrets to be marked, so that they can be kept out of every line."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take the address of an engine that did not start this process (a debugger did)."""
        options: Any = _GRPC_CHANNEL_OPTIONS
        self._journal.attach(grpc.insecure_channel(request.address, options=options))
        return empty_pb2.Empty()

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse: programs in Python take their classes from ``pulumi_docker``."""
        _refuse(context, not_served("The package's schema"))

    def GetMapping(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer that there is no mapping to another tool's resources."""
        return provider_pb2.GetMappingResponse()

    def GetMappings(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer that there are no mappings."""
        return provider_pb2.GetMappingsResponse()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse every function, by name."""
        _refuse(context, not_served(f"The function {request.tok}"))

    def Call(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse every method, by name."""
        _refuse(context, not_served(f"The method {request.tok}"))

    def Construct(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse every component, by name."""
        _refuse(context, not_served(f"The component {request.type}"))

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        """End builds and pushes in flight (Ctrl-C)."""
        self._cancellation.cancel()
        return empty_pb2.Empty()

    # The provider's own configuration

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Accept the served settings, refuse the others by name."""
        given = decode(request.news)
        refused = sorted((given.keys() & provider_inputs().keys()) - _SERVED_SETTINGS)
        failures = [
            provider_pb2.CheckFailure(property=name, reason=not_served(f"Provider.{name}"))
            for name in refused
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Another engine's address changes no image: never replace for it."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take the engine's address. It is not called: previews need no Docker."""
        given = plain(decode(request.args).get("host"))
        if given is None:
            given = request.variables.get("docker:config:host")
        self._host = given if isinstance(given, str) and given else None
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    # Images

    @_for_images
    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Validate, fill in defaults, digest the build context."""
        checked, failures = image_inputs.check(decode(request.news))
        return provider_pb2.CheckResponse(
            inputs=request.news if failures else encode(checked),
            failures=[
                provider_pb2.CheckFailure(property=failure.property, reason=failure.reason)
                for failure in failures
            ],
        )

    @_for_images
    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Compare the inputs with those of the last build."""
        saved = plain(decode(request.olds).get(SAVED_INPUTS))
        old = saved if isinstance(saved, dict) else decode(request.old_inputs)
        found = changes(old, decode(request.news))
        if not found:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in found}),
            hasDetailedDiff=True,
            detailedDiff={
                path: provider_pb2.PropertyDiff(kind=_KINDS[change], inputDiff=True)
                for path, change in found.items()
            },
        )

    @_for_images
    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Build and push."""
        image = Image(inputs=decode(request.properties))
        report = self._report(request.urn, image.inputs)
        with _answered(context, report, image):
            outputs = self._produce(image, report, preview=request.preview)
            identity = "" if has_unknown(image.inputs["imageName"]) else image.name
            return provider_pb2.CreateResponse(id=identity, properties=encode(outputs))

    @_for_images
    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Build and push again; then take away what the last build left under a name."""
        image = Image(inputs=decode(request.news))
        report = self._report(request.urn, image.inputs)
        with _answered(context, report, image):
            outputs = self._produce(image, report, preview=request.preview)
            if not request.preview:
                self._remove_superseded(decode(request.olds), outputs, report)
            return provider_pb2.UpdateResponse(properties=encode(outputs))

    @_for_images
    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer the state as it is, as the official plugin does: an image does not drift."""
        return provider_pb2.ReadResponse(
            id=request.id, inputs=request.inputs, properties=request.properties
        )

    @_for_images
    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Remove the tag on the engine; leave the registry and the build cache as they are."""
        from docker.errors import DockerException

        from .connection import connect
        from .tags import remove_tag

        state = decode(request.properties)
        state.pop(SAVED_INPUTS, None)  # secret as a whole: the image's name would be masked
        report = self._report(request.urn, state)
        name, digest = str(plain(state.get("imageName"))), str(plain(state.get("repoDigest")))
        try:
            with contextlib.closing(connect(self._host, self._cancellation)) as client:
                if not remove_tag(client, name, digest):
                    report.warn(f"The tag {name} names another image by now: it was left.")
        except EngineError as exc:
            report.warn(f"The tag {name} was left: {exc}")
        except (DockerException, OSError) as exc:
            report.warn(f"The tag {name} was left: {explain(exc)}. To remove it: docker rmi {name}")
        return empty_pb2.Empty()

    def _produce(self, image: Image, report: Report, *, preview: bool) -> Properties:
        """Build, push, and answer the outputs; in a preview only what the program wants."""
        if preview and not image.is_built_in_preview:
            return image.preview_outputs()
        from .connection import connect

        self._cancellation.check()
        with contextlib.closing(connect(self._host, self._cancellation)) as client:
            image_id = image.build(client, report.status, self._cancellation)
            if not image.is_pushed:
                return image.outputs(image_id)
            if preview:
                return image.preview_outputs()
            half = image.half_login()
            if half:
                report.warn(
                    f"registry.{half} was given alone: the login of Docker's own configuration "
                    "is used."
                )
            digest = image.push(client, report.status, self._cancellation)
        report.status(f"Pushed {digest}")
        return image.outputs(digest)

    def _remove_superseded(self, old: Properties, new: Properties, report: Report) -> None:
        """Remove the former image's name, or, under the same name, its digest's."""
        from docker.errors import APIError

        from .connection import connect
        from .tags import remove_tag

        name, digest = plain(old.get("imageName")), plain(old.get("repoDigest"))
        if not isinstance(name, str) or not isinstance(digest, str):
            return
        if name != plain(new["imageName"]):
            superseded = name
        elif digest != plain(new["repoDigest"]):
            superseded = digest
        else:
            return
        # What cannot be removed (a container uses it, another image builds on it) is in use.
        with contextlib.suppress(APIError, EngineError, OSError):
            with contextlib.closing(connect(self._host, self._cancellation)) as client:
                remove_tag(client, superseded, digest)
            report.status(f"Removed {superseded}")

    def _report(self, urn: str, properties: Properties) -> Report:
        return self._journal.of(urn, secret_texts(dict(properties)))


@contextlib.contextmanager
def _answered(context: grpc.ServicerContext, report: Report, image: Image) -> Any:
    """Turn what goes wrong into one message for the user, without a secret in it."""
    try:
        yield
    except Cancelled:
        message = f"{report.mask(image.name)}: cancelled; the steps built so far are cached"
        context.abort(grpc.StatusCode.CANCELLED, message)
    except EngineError as exc:
        context.abort(grpc.StatusCode.UNKNOWN, report.mask(str(exc)))
    except Exception as exc:  # noqa: BLE001 - grpc would show the text as it is, secrets and all
        trace = exc.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
        message = f"a fault of the stand-in, at {place}: {type(exc).__name__}: {exc}"
        context.abort(grpc.StatusCode.INTERNAL, report.mask(message))

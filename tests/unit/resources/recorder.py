"""Records the program's requests to Pulumi, and answers as the providers would."""

import asyncio
import base64
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pulumi
from pulumi.runtime.proto.source_pb2 import StackTrace
from pulumi.runtime.stack import wait_for_rpcs

from infra.resources.keys import REGISTRY_PASSWORD
from infra.stack.secrets import NAMING_KEY, SECRET_NAMES

PROGRAM = Path(__file__).parents[3] / "__main__.py"

LOCAL_MACHINE = "pulumi-python:dynamic/machines:LocalMachine"

COMPUTED: dict[str, dict[str, Any]] = {
    "pulumi-python:dynamic/keys:Secrets": {
        "cluster_id": "0123abcd",
        "values": {
            name: base64.urlsafe_b64encode(name.ljust(32).encode()[:32]).decode()
            for name in (*SECRET_NAMES, REGISTRY_PASSWORD, NAMING_KEY)
        },
    },
    "pulumi-python:dynamic/keys:SshKey": {
        "private_key": "private",
        "public_key": "ssh-ed25519 A",
        "former_keys": [],
    },
    "pulumi-python:dynamic/keys:RegistryCertificate": {
        "authority": "authority",
        "certificate": "certificate",
        "private_key": "key",
    },
    "pulumi-python:dynamic/machines:LocalNetwork": {
        "subnet": "10.213.0.0/22",
        "gateway": "10.213.0.1",
        "mtu": 1500,
    },
    "pulumi-python:dynamic/machines:AcceptedHostKey": {"host_key": "ssh-ed25519 SEEN"},
    "pulumi-python:dynamic/machines:ExistingHosts": {
        "operator_addresses": ["198.51.100.7"],
        "mtu": 1450,
    },
    "pulumi-python:dynamic/registry:PushPort": {"port": 0},
    "pulumi-python:dynamic/images:DeployedImage": {"digest": f"sha256:{'0' * 64}"},
    "pulumi-python:dynamic/images:EcrImage": {"digest": f"sha256:{'0' * 64}"},
}


def run_program(
    mocks: pulumi.runtime.Mocks, settings: dict[str, str], program: Path = PROGRAM
) -> None:
    """Run a Pulumi program in an event loop of its own; `settings` are by their full keys.

    Pulumi sends the stack of each resource's call, which the mocks ignore; below pytest, reading it
    takes a sixth of the time.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(mocks, project="dairflow", stack="test")
    pulumi.runtime.set_all_config(settings)
    with patch("pulumi.runtime.resource._get_stack_trace", StackTrace):
        try:
            runpy.run_path(str(program))
        finally:  # of a program that failed too: the next one would wait for its calls
            loop.run_until_complete(wait_for_rpcs())
            loop.close()


Made = TypeVar("Made", bound="Recorder")


def once(
    run: Callable[..., Made], runs: dict[frozenset[tuple[str, str]], Made]
) -> Callable[..., Made]:
    """Return `run` for tests that only read its result, which is the same for the same settings.

    `runs` keeps the results. A test that patches what the program uses needs a run of its own.
    """

    def run_once(**settings: str) -> Made:
        key = frozenset(settings.items())
        if key not in runs:
            runs[key] = run(**settings)
        return runs[key]

    return run_once


class Recorder(pulumi.runtime.Mocks):
    """Records requests, and answers as the providers would."""

    def __init__(self) -> None:
        self.resources: dict[str, tuple[str, dict[str, Any]]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.name] = (args.typ, args.inputs)
        computed = dict(COMPUTED.get(args.typ, {}))
        if args.typ == LOCAL_MACHINE:
            ports = args.inputs["ports"]
            computed["published"] = {inner: outer or 40_000 for inner, outer in ports.items()}
        return f"{args.name}-id", {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(args.token)

    def of_type(self, suffix: str) -> dict[str, dict[str, Any]]:
        return {n: inputs for n, (typ, inputs) in self.resources.items() if typ.endswith(suffix)}

"""moto's server on loopback, which keeps who called what."""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import boto3
import moto.ec2.models.elastic_network_interfaces as interfaces
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from aws_cloud.as_aws import answer_as_aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

ROLE_KEY = "ASIAINSTANCE"
"""The access key of an instance's role."""
OWN_KEY = "HYPERVISOR"
"""The access key of the cloud's own calls; everybody else's are kept."""
DEBIAN_ACCOUNT = "136693071363"
PUBLIC_NETWORK = "203.0.113"
"""TEST-NET-3 (RFC 5737): no packet of a test is ever for somebody."""
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")


class Server:
    """Serves every API of moto that is called."""

    def __init__(self, region: str) -> None:
        """Start; Debian's images are there, and public addresses are free."""
        self.region = region
        self.calls: set[str] = set()
        """The operator's."""
        self.role_calls: set[str] = set()
        """Those of the instances, by their role."""
        self.recorded = self._recorded()
        self._server = make_server("127.0.0.1", 0, self.recorded, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request otherwise
        self._forget()
        self.publish_image("12", "x86_64", "ami-00000000000000000")
        self.publish_image("13", "x86_64", "ami-00000000000000001")
        self.publish_image("13", "arm64", "ami-00000000000000002")
        self._numbers = iter(range(1, 255))
        self._random_public_ip = interfaces.random_public_ip
        interfaces.random_public_ip = self._public_address
        self._changes = answer_as_aws()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self, access_key: str = "AKIAOPERATOR") -> dict[str, str]:
        """Return the environment with which any AWS tool logs in here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "ec2", access_key: str = OWN_KEY) -> Any:
        """Return a client of one API."""
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key="secret",
        )

    def close(self) -> None:
        """Stop serving, and forget everything."""
        self._server.shutdown()
        interfaces.random_public_ip = self._random_public_ip
        self._changes.close()
        self._forget()

    def _forget(self) -> None:
        for backends in (ec2_backends, ecr_backends, iam_backends):
            backends.reset()

    def publish_image(self, release: str, architecture: str, image_id: str) -> None:
        """Publish an image of Debian's, newer than all before."""
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][self.region]
        kind = {"x86_64": "amd64", "arm64": "arm64"}[architecture]
        backend.amis[image_id] = Ami(
            backend,
            image_id,
            name=f"debian-{release}-{kind}-20261101-{image_id[-4:]}",
            owner_id=DEBIAN_ACCOUNT,
            public=True,
            virtualization_type="hvm",
            architecture=architecture,
            root_device_type="ebs",
            root_device_name="/dev/xvda",
        )

    def _public_address(self) -> str:
        return f"{PUBLIC_NETWORK}.{next(self._numbers)}"

    def _recorded(self) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
        application = DomainDispatcherApplication(create_backend_app)

        def record(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
            if found and found[1] != OWN_KEY:
                length = int(environ.get("CONTENT_LENGTH") or 0)
                body = environ["wsgi.input"].read(length)
                environ["wsgi.input"] = _Again(body)
                call = f"{_service(found[2])}:{_action(environ, body)}"
                calls = self.role_calls if found[1] == ROLE_KEY else self.calls
                calls |= {call, *_implied(call, body)}
            return application(environ, start)

        return record


class _Again:
    """A request's body that was read already."""

    def __init__(self, body: bytes) -> None:
        import io

        self._stream = io.BytesIO(body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _implied(call: str, body: bytes) -> Iterator[str]:
    """Return what a call needs the permission for besides: tags, and handing a role over."""
    service, _, action = call.partition(":")
    if b"TagSpecification" in body:
        yield "ec2:CreateTags"
    if service == "ec2" and b"IamInstanceProfile" in body:
        yield "iam:PassRole"
    if service == "iam" and b"Tags.member" in body:
        yield call.replace("Create", "Tag")
    if action == "CreateRepository" and b'"tags"' in body:
        yield "ecr:TagResource"


def _service(signed_for: str) -> str:
    return signed_for.replace("service-quotas", "servicequotas")


def _action(environ: WSGIEnvironment, body: bytes) -> str:
    """Read the action's name, as IAM spells it."""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return target.rpartition(".")[2]
    if body[:1] == b"{":
        return json.loads(body).get("Action", "?")
    return parse_qs(body.decode())["Action"][0]

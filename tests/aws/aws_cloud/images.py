"""ECR as machines meet it: a registry under Amazon's name, tokens for a role, and the metadata.

moto has the repositories and gives tokens. The registry is a real one, which takes only such a
token. An instance gets its role's credentials from the metadata service, and has one only with an
instance profile.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import secrets
import ssl
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
import uvicorn
from a2wsgi import WSGIMiddleware
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from werkzeug import Request, Response
from werkzeug.serving import make_server

from aws_cloud.server import ROLE_KEY, Server
from infra.credentials import registry_certificate
from infra.images import project_images

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIApplication

IMAGE = project_images.reference("registry")
AUTHORITY_FILE = "/etc/ssl/certs/cloud.pem"
"""Among those that a machine trusts, as the authority of Amazon's certificates is."""
HOSTS_FILE = Path("/etc/hosts")
CERTIFICATES = Path("/etc/docker/certs.d")
_TOKEN_HEADER = "X-aws-ec2-metadata-token"
_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"


class ImageService:
    """The registry, ECR's API under its own name, and the metadata service."""

    def __init__(self, server: Server, *, router: str, address: str) -> None:
        """``router`` is this machine in the VPC; the registry is at ``address``."""
        self.registry = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{server.region}.amazonaws.com"
        api = f"api.ecr.{server.region}.amazonaws.com"
        self.address = address
        self.hosts = {self.registry: address, api: router}
        self._server = server
        self._issued = secrets.token_urlsafe()
        self._certificate = registry_certificate([self.registry, api])
        self._metadata_server = make_server(
            router, 0, Request.application(self._metadata), threaded=True
        )
        self.metadata = f"{router}:{self._metadata_server.server_port}"
        self._api = self._over_tls(router, server.recorded)
        for serve in (self._metadata_server.serve_forever, self._api.run):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def files(self) -> Mapping[str, bytes]:
        """What is on every machine of the cloud."""
        return {AUTHORITY_FILE: self._certificate.authority.encode()}

    def trusted(self, path: Path) -> Path:
        """Write what this machine trusts and the cloud's authority into ``path``."""
        system = ssl.get_default_verify_paths().cafile
        known = Path(system).read_text() if system else ""
        path.write_text(f"{known}\n{self._certificate.authority}")
        return path

    def delete(self, reference: str) -> int:
        """Delete ``registry/repository@digest``, as somebody may; return the answer's status."""
        repository, _, digest = reference.removeprefix(f"{self.registry}/").partition("@")
        trusting = ssl.create_default_context(cadata=self._certificate.authority)
        connection = http.client.HTTPSConnection(self.registry, context=trusting)
        with contextlib.closing(connection):
            issued = self._server.client("ecr").get_authorization_token()["authorizationData"][0]
            headers = {"Authorization": f"Basic {issued['authorizationToken']}"}
            connection.request("DELETE", f"/v2/{repository}/manifests/{digest}", headers=headers)
            return connection.getresponse().status

    @property
    def registry_files(self) -> Mapping[str, bytes]:
        """What the registry's container needs."""
        issued = self._server.client("ecr").get_authorization_token()["authorizationData"][0]
        user, _, token = base64.b64decode(issued["authorizationToken"]).decode().partition(":")
        hashed = bcrypt.hashpw(token.encode(), bcrypt.gensalt(rounds=5)).decode()
        return {
            "/tls.crt": self._certificate.certificate.encode(),
            "/tls.key": self._certificate.private_key.encode(),
            "/htpasswd": f"{user}:{hashed}\n".encode(),
        }

    @property
    def registry_environment(self) -> Mapping[str, str]:
        """How the registry is set up."""
        return {
            "REGISTRY_HTTP_ADDR": "0.0.0.0:443",
            "REGISTRY_HTTP_TLS_CERTIFICATE": "/tls.crt",
            "REGISTRY_HTTP_TLS_KEY": "/tls.key",
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "ecr",
            "REGISTRY_AUTH_HTPASSWD_PATH": "/htpasswd",
        }

    def announce(self) -> None:
        """Let this machine's own Docker find the registry, and trust it, until `close`."""
        self._forget()
        with HOSTS_FILE.open("a") as hosts:
            hosts.write(f"{self.address} {self.registry}\n")
        folder = CERTIFICATES / self.registry
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.crt").write_text(self._certificate.authority)

    def close(self) -> None:
        """Stop serving; take back what was announced."""
        self._api.should_exit = True
        self._metadata_server.shutdown()
        self._metadata_server.server_close()
        self._forget()

    def _forget(self) -> None:
        lines = HOSTS_FILE.read_text().splitlines(keepends=True)
        HOSTS_FILE.write_text("".join(line for line in lines if self.registry not in line))
        (CERTIFICATES / self.registry / "ca.crt").unlink(missing_ok=True)
        if (CERTIFICATES / self.registry).exists():
            (CERTIFICATES / self.registry).rmdir()
        if CERTIFICATES.exists() and not any(CERTIFICATES.iterdir()):
            CERTIFICATES.rmdir()

    def _over_tls(self, address: str, application: WSGIApplication) -> uvicorn.Server:
        """Serve as Amazon does: moto's own server ends a connection that is still being read."""
        with tempfile.NamedTemporaryFile("w") as both:
            both.write(self._certificate.certificate + self._certificate.private_key)
            both.flush()
            config = uvicorn.Config(
                WSGIMiddleware(application),
                host=address,
                port=443,
                ssl_certfile=both.name,
                log_level="warning",
            )
            config.load()
        return uvicorn.Server(config)

    def _metadata(self, request: Request) -> Response:
        """Answer a machine's request as version 2 of the metadata service does."""
        if (request.method, request.path) == ("PUT", "/latest/api/token"):
            return Response(self._issued, headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        if request.headers.get(_TOKEN_HEADER) != self._issued:
            return Response(status=401)
        role = self._role(str(request.remote_addr))
        if role and request.path == _CREDENTIALS:
            return Response(role)
        if role and request.path == _CREDENTIALS + role:
            return Response(json.dumps(_credentials()), content_type="application/json")
        return Response(status=404)

    def _role(self, address: str) -> str:
        """Return the role of the instance at a private address; empty if it has none.

        It calls moto itself and not its server: Amazon's library waits for an answer only briefly,
        and a busy machine kept it waiting too long.
        """
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][self._server.region]
        running = (one for one in backend.all_instances() if one.state == "running")
        (instance,) = (one for one in running if one.private_ip == address)
        association = backend.iam_instance_profile_associations.get(instance.id)
        return association.iam_instance_profile.roles[0].name if association else ""


def _credentials() -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "Expiration": f"{now + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
        "AccessKeyId": ROLE_KEY,
        "SecretAccessKey": "secret",
        "Token": "session",
    }

"""The embedded registry: a container on the first manager's own engine, with TLS and a password.

It is no swarm service, because the stack's services are pulled from it. The nodes trust its
authority (``infra/swarm`` plants it); the operator pushes to a loopback address, which needs no
trust setting in the operator's Docker (the daemon takes 127.0.0.0/8 for insecure-allowed).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import bcrypt

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.runner import Runner

USER = "dairflow"
CONTAINER = "dairflow-registry"
VOLUME = "dairflow-registry"
IMAGE = "dairflow/registry:trixie"
PORT = 5000
FOLDER = "/etc/dairflow/registry"
"""On the first manager: certificate, key and password file."""

_MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json"
)
_LOAD_TIMEOUT_SECONDS = 300.0
_START_TIMEOUT_SECONDS = 60.0
_QUERY_TIMEOUT_SECONDS = 20.0


class RegistryError(Exception):
    """The registry could not be started or asked; says what came back and what to do next."""


@dataclass(frozen=True, kw_only=True)
class RegistrySpec:
    """What runs: PEM texts, and the password of ``USER``."""

    image_id: str
    certificate: str
    private_key: str = field(repr=False)
    password: str = field(repr=False)

    def fingerprint(self) -> str:
        """Return a hash that changes with anything that the container is made from."""
        parts = f"{self.image_id}\0{self.certificate}\0{self.private_key}\0{self.password}"
        return hashlib.sha256(parts.encode()).hexdigest()


def ensure(runner: Runner, spec: RegistrySpec, *, save_image: Callable[[], bytes]) -> None:
    """Make ``spec`` run on the runner's machine; do nothing where it does already.

    ``save_image`` gives the image as ``docker save`` writes it; it is called only when the
    machine's engine does not have it.

    Raises:
        RemoteError: when a command fails on the machine.

    """
    if fingerprint(runner) == spec.fingerprint():
        return
    has_image = runner.run(f"docker image inspect {spec.image_id} >/dev/null 2>&1", check=False)
    if has_image.exit_status != 0:
        runner.run("docker load -q", stdin=save_image(), timeout=_LOAD_TIMEOUT_SECONDS)
    runner.run(f"install -d -m 700 {FOLDER}")
    hashed = bcrypt.hashpw(spec.password.encode(), bcrypt.gensalt(rounds=5)).decode()
    runner.write_file(f"{FOLDER}/htpasswd", f"{USER}:{hashed}\n".encode(), mode=0o600)
    runner.write_file(f"{FOLDER}/tls.crt", spec.certificate.encode(), mode=0o600)
    runner.write_file(f"{FOLDER}/tls.key", spec.private_key.encode(), mode=0o600)
    runner.run(_start_command(spec), timeout=_START_TIMEOUT_SECONDS)


def fingerprint(runner: Runner) -> str:
    """Return the fingerprint of the registry that runs there, or an empty text."""
    found = runner.run(
        f"docker inspect --format '{{{{if .State.Running}}}}"
        f'{{{{index .Config.Labels "dairflow.fingerprint"}}}}{{{{end}}}}\' {CONTAINER} 2>/dev/null',
        check=False,
    )
    return found.stdout.strip() if found.exit_status == 0 else ""


def remove(runner: Runner) -> None:
    """Remove the container, its volume and its files; each may be gone already."""
    runner.run(
        f"docker rm -f -v {CONTAINER} >/dev/null 2>&1; "
        f"docker volume rm -f {VOLUME} >/dev/null 2>&1; rm -rf {FOLDER}"
    )


def _start_command(spec: RegistrySpec) -> str:
    environment = {
        "REGISTRY_HTTP_ADDR": f"0.0.0.0:{PORT}",
        "REGISTRY_HTTP_TLS_CERTIFICATE": "/registry/tls.crt",
        "REGISTRY_HTTP_TLS_KEY": "/registry/tls.key",
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "dairflow",
        "REGISTRY_AUTH_HTPASSWD_PATH": "/registry/htpasswd",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
    }
    settings = " ".join(f"-e {key}={value}" for key, value in environment.items())
    return (
        f"docker rm -f {CONTAINER} >/dev/null 2>&1; "
        f"docker run -d --name {CONTAINER} --restart always "
        f"--label dairflow.fingerprint={spec.fingerprint()} "
        f"-p {PORT}:{PORT} -v {VOLUME}:/var/lib/registry -v {FOLDER}:/registry:ro "
        f"{settings} {spec.image_id} >/dev/null"
    )


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where the operator reaches the registry, and how it is trusted."""

    host: str
    port: int
    authority: str | None
    """PEM; None trusts whom this machine trusts."""
    password: str = field(repr=False)
    user: str = USER
    advice: str = "Is the first manager running? `pulumi up --refresh` starts what is stopped."
    """What to do where it does not answer."""

    @property
    def address(self) -> str:
        """The ``host:port`` that image names begin with."""
        return f"{self.host}:{self.port}"


def digest(endpoint: Endpoint, repository: str, tag: str) -> str:
    """Ask the registry for the digest of a tag, ``sha256:…``; empty where there is no such tag.

    pulumi-docker's own ``repo_digest`` can be stale (pulumi-docker#778, #812), so what is deployed
    is what the registry says.

    Raises:
        RegistryError: when it cannot be reached or answers anything but 200 or 404.

    """
    context = ssl.create_default_context(cadata=endpoint.authority)
    connection = http.client.HTTPSConnection(
        endpoint.host, endpoint.port, context=context, timeout=_QUERY_TIMEOUT_SECONDS
    )
    credentials = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
    headers = {"Accept": _MANIFEST_TYPES, "Authorization": f"Basic {credentials}"}
    where = f"https://{endpoint.address}/v2/{repository}/manifests/{tag}"
    try:
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=headers)
        answer = connection.getresponse()
    except OSError as error:
        msg = f"the registry did not answer at {where}: {error}. {endpoint.advice}"
        raise RegistryError(msg) from error
    finally:
        connection.close()
    if answer.status == http.client.NOT_FOUND:
        return ""
    found = answer.getheader("Docker-Content-Digest")
    if answer.status != http.client.OK or not found:
        msg = f"the registry answered {answer.status} {answer.reason} at {where}"
        raise RegistryError(msg)
    return found

"""The embedded registry: a container on the first manager's own engine, with TLS and a password.

It is not a swarm service, because the stack's services are pulled from it. The nodes trust its
authority (``infra/swarm`` installs it); the operator pushes to a loopback address, for which the
operator's Docker does not need a trust setting (the daemon allows 127.0.0.0/8 as insecure).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import shlex
import ssl
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import bcrypt

from infra import ports
from infra.errors import UserError
from infra.remote.script import script

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.remote.runner import Runner

EMBEDDED = "embedded"
"""Its value of the setting ``registry``."""
USER = "dairflow"
"""What the names of the users begin with."""
_USER_DIGITS = 12
CONTAINER = "dairflow-registry"
VOLUME = "dairflow-registry"
REPOSITORY = "dairflow/registry"
"""The image's name, without its tag."""
PORT = ports.REGISTRY
FOLDER = "registry"
"""Folder of certificate, key and password file in the container's root. They are in a volume that
only the container uses, on the engine's disk, which outlives the rest of a recreated node."""
_FORMER_FOLDER = "/etc/dairflow/registry"
"""The folder of an earlier release, on the first manager."""

_MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json"
)
BOUNDED_LOG = {"max-size": "10m", "max-file": "3"}
"""Options of the engine's json-file log, the same as those of the stack's services."""
_LOG_OPTIONS = " ".join(
    ("--log-driver json-file", *(f"--log-opt {key}={value}" for key, value in BOUNDED_LOG.items()))
)
CONFINED = (
    "--cap-drop ALL --security-opt no-new-privileges --read-only --memory 512m --memory-swap 512m"
)
"""Restrictions of the container, the same as those of the stack's services."""
_NEXT = f"{CONTAINER}-next"
_FORMER = f"{CONTAINER}-former"
_REPLACE = script(
    "images/scripts/replace_registry.sh",
    CONTAINER=CONTAINER,
    NEXT=_NEXT,
    FORMER=_FORMER,
    FORMER_FOLDER=_FORMER_FOLDER,
    REPOSITORY=REPOSITORY,
)
_LOAD_TIMEOUT_SECONDS = 300.0
_START_TIMEOUT_SECONDS = 60.0
_QUERY_TIMEOUT_SECONDS = 20.0


class RegistryError(UserError):
    """The registry could not be started or read; the message has the answer and the next step."""


@dataclass(frozen=True, kw_only=True)
class RegistrySpec:
    """Specification of the registry: PEM texts, and the passwords of the users of `user_of`."""

    image: str
    """Its name, which ends with a digest of the content: the same in the operator's engine and on
    the machine, with any image stores."""
    certificate: str
    private_key: str = field(repr=False)
    password: str = field(repr=False)
    former_password: str = field(default="", repr=False)
    """The password before the current one: swarm pulls with it until the services have the new
    one. Empty before the first rotation."""

    def fingerprint(self) -> str:
        """Return a hash of all inputs of the container."""
        parts = (
            FOLDER,
            _LOG_OPTIONS,
            CONFINED,
            self.image,
            self.certificate,
            self.private_key,
            self.password,
            self.former_password,
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def user_of(password: str) -> str:
    """Return the user that has a password: two are accepted at a time, and a user has one.

    The password has 192 random bits, so the part of its hash helps nobody to guess it.
    """
    return f"{USER}-{hashlib.sha256(password.encode()).hexdigest()[:_USER_DIGITS]}"


def recipe(image: str) -> str:
    """Return a hash of what the container is made from, without the stack's own secrets.

    So a release that makes it in another way, or a renewed image, reaches a registry that runs.
    """
    return RegistrySpec(image=image, certificate="", private_key="", password="").fingerprint()


def ensure(runner: Runner, spec: RegistrySpec, *, save_image: Callable[[], bytes]) -> None:
    """Start the registry of ``spec`` on the runner's machine, unless it runs already.

    ``save_image`` returns the image in the format of ``docker save``; it is called only if the
    machine's engine does not have the image. The running registry is replaced after the next one is
    complete, and restarted if that one does not start.

    Raises:
        RemoteError: if a command fails on the machine.

    """
    if fingerprint(runner) == spec.fingerprint():
        return
    image = shlex.quote(spec.image)
    present = f"docker image inspect {image} >/dev/null"
    if runner.run(f"{present} 2>&1", check=False).exit_status != 0:
        runner.run("docker load -q", stdin=save_image(), timeout=_LOAD_TIMEOUT_SECONDS)
        runner.run(present)
    runner.run(_create_command(spec), stdin=_files(spec), timeout=_START_TIMEOUT_SECONDS)
    runner.run(_REPLACE, timeout=_START_TIMEOUT_SECONDS)


def fingerprint(runner: Runner) -> str:
    """Return the fingerprint of the running registry, or an empty text."""
    found = runner.run(
        f"docker inspect --format '{{{{if .State.Running}}}}"
        f'{{{{index .Config.Labels "dairflow.fingerprint"}}}}{{{{end}}}}\' {CONTAINER} 2>/dev/null',
        check=False,
    )
    return found.stdout.strip() if found.exit_status == 0 else ""


def remove(runner: Runner) -> None:
    """Remove the container, its volume and its files, if they exist."""
    runner.run(
        f"docker rm -f -v {CONTAINER} {_NEXT} {_FORMER} >/dev/null 2>&1; "
        f"docker volume rm -f {VOLUME} >/dev/null 2>&1; rm -rf {_FORMER_FOLDER}"
    )


def _create_command(spec: RegistrySpec) -> str:
    environment = {
        "REGISTRY_HTTP_ADDR": f"0.0.0.0:{PORT}",
        "REGISTRY_HTTP_TLS_CERTIFICATE": f"/{FOLDER}/tls.crt",
        "REGISTRY_HTTP_TLS_KEY": f"/{FOLDER}/tls.key",
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "dairflow",
        "REGISTRY_AUTH_HTPASSWD_PATH": f"/{FOLDER}/htpasswd",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry",
        "REGISTRY_STORAGE_DELETE_ENABLED": "true",
    }
    settings = " ".join(f"-e {key}={value}" for key, value in environment.items())
    return (
        f"docker rm -f -v {_NEXT} >/dev/null 2>&1; "
        f"docker create --name {_NEXT} --restart always {_LOG_OPTIONS} {CONFINED} "
        f"--label dairflow.fingerprint={spec.fingerprint()} "
        f"-p {PORT}:{PORT} -v {VOLUME}:/var/lib/registry -v /{FOLDER} "
        f"{settings} {shlex.quote(spec.image)} >/dev/null && docker cp - {_NEXT}:/{FOLDER}"
    )


def _htpasswd_line(password: str) -> str:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()
    return f"{user_of(password)}:{hashed}\n"


def _files(spec: RegistrySpec) -> bytes:
    """Return the container's files as an archive; only root can read them."""
    passwords = filter(None, (spec.password, spec.former_password))
    contents = {
        "htpasswd": "".join(map(_htpasswd_line, passwords)),
        "tls.crt": spec.certificate,
        "tls.key": spec.private_key,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in contents.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Address of the registry for the operator, and its trusted authority."""

    host: str
    port: int
    authority: str | None
    """PEM; None for the authorities that this machine trusts."""
    password: str = field(repr=False)
    user: str = ""
    """Empty for the user of the embedded registry."""
    advice: str = (
        "Check that the first manager runs: `pulumi up --refresh` starts stopped machines."
    )
    """What to do if it does not answer."""

    @property
    def address(self) -> str:
        """The ``host:port`` at the beginning of image names."""
        return f"{self.host}:{self.port}"

    @property
    def username(self) -> str:
        """The user's name."""
        return self.user or user_of(self.password)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer of the registry."""

    body: bytes | None
    """None if the object does not exist."""
    digest: str
    """Digest of the requested manifest, ``sha256:…``."""


def request(endpoint: Endpoint, method: str, path: str) -> Answer:
    """Send a request to the registry's API; a missing object is not an error.

    Raises:
        RegistryError: if it cannot be reached, or rejects the request.

    """
    context = ssl.create_default_context(cadata=endpoint.authority)
    connection = http.client.HTTPSConnection(
        endpoint.host, endpoint.port, context=context, timeout=_QUERY_TIMEOUT_SECONDS
    )
    credentials = base64.b64encode(f"{endpoint.username}:{endpoint.password}".encode()).decode()
    headers = {"Accept": _MANIFEST_TYPES, "Authorization": f"Basic {credentials}"}
    where = f"https://{endpoint.address}{path}"
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        msg = f"the registry did not answer at {where}: {error}. {endpoint.advice}"
        raise RegistryError(msg) from error
    finally:
        connection.close()
    if answer.status == http.client.NOT_FOUND:
        return Answer(body=None, digest="")
    if answer.status not in (http.client.OK, http.client.ACCEPTED):
        msg = f"the registry answered {answer.status} {answer.reason} at {where}"
        raise RegistryError(msg)
    return Answer(body=body, digest=answer.getheader("Docker-Content-Digest") or "")


def digest(endpoint: Endpoint, repository: str, tag: str) -> str:
    """Read the digest of a tag from the registry, ``sha256:…``; empty if the tag does not exist.

    pulumi-docker's own ``repo_digest`` can be stale (pulumi-docker#778, #812), so the digest from
    the registry is deployed.

    Raises:
        RegistryError: if it cannot be reached, or answers with a status other than 200 or 404.

    """
    path = f"/v2/{repository}/manifests/{tag}"
    answer = request(endpoint, "HEAD", path)
    if answer.body is not None and not answer.digest:
        msg = f"the registry did not return a digest at https://{endpoint.address}{path}"
        raise RegistryError(msg)
    return answer.digest

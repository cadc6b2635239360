"""An S3 server for tests: versitygw over a folder, with TLS, built from its Go module once."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tools.golang import Go, installed_programs
from tools.paths import Paths, digest_of_files, filling

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "store.test"
ACCESS_KEY = "of-the-test"
SECRET_KEY = "hunter2hunter2"
MODULE = Path(__file__).parents[2] / "tools" / "go_modules" / "versitygw"
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A server that runs. ``folder`` has a folder for each bucket."""

    port: int
    folder: Path
    authority: str

    @property
    def endpoint(self) -> str:
        """The host name, which its clients have to resolve, and the port."""
        return f"{HOST}:{self.port}"


@contextmanager
def server(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server that ends with the context."""
    buckets = folder / "buckets"
    buckets.mkdir(exist_ok=True)
    authority = _certificate(folder)
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(_program()),
                *options,
                *(
                    "--port",
                    f":{port}",
                    "--cert",
                    str(folder / "cert"),
                    "--key",
                    str(folder / "key"),
                ),
                *("posix", str(buckets)),
            ],
            env={**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(port, process, folder / "log")
        yield Server(port=port, folder=buckets, authority=authority)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _program() -> Path:
    files = [MODULE / name for name in ("go.mod", "go.sum", "tools.go")]
    paths = Paths.find()
    folder = paths.cached("versitygw", "module", digest_of_files(*files))
    if not folder.is_dir():
        go = Go(program=installed_programs()[0], toolchain="auto")
        with filling(folder) as unfinished:
            go.build(
                module=MODULE,
                package=PACKAGE,
                output=unfinished / "versitygw",
                variables={},
                log=paths.logs / "versitygw-build.log",
                say=print,
            )
    return folder / "versitygw"


def _certificate(folder: Path) -> str:
    """Write a certificate that is its own authority, and its key; return it as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    names = [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "cert").write_bytes(text)
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return text.decode()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)

"""A conda channel and a PyPI index with packages made by the test, and served by it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from rattler.index import index_fs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

PROGRAM_MODE = 0o755
FILE_MODE = 0o644


class Channel:
    """A folder of conda packages, laid out and indexed as on any server."""

    def __init__(self, folder: Path) -> None:
        """Make an empty channel."""
        self.folder = folder
        for subdir in ("noarch", "linux-64"):
            (folder / subdir).mkdir(parents=True)

    def add(
        self,
        name: str,
        version: str,
        depends: Sequence[str] = (),
        *,
        files: Mapping[str, bytes] | None = None,
        links: Mapping[str, str] | None = None,
        noarch: bool = False,
    ) -> Path:
        """Make a package. ``links`` maps a link's path to its target; call `index` after all."""
        content, links = files or {}, links or {}
        subdir = "noarch" if noarch else "linux-64"
        about = {
            "name": name,
            "version": version,
            "build": "0",
            "build_number": 0,
            "depends": list(depends),
            "subdir": subdir,
            "timestamp": 1_700_000_000_000,
            **({"noarch": "python"} if noarch else {}),
        }
        paths = [
            *(_path(path, data, "hardlink") for path, data in content.items()),
            *(_path(path, b"", "softlink") for path in links),
        ]
        info = {
            "info/index.json": json.dumps(about).encode(),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        }
        if noarch:
            link = {"noarch": {"type": "python"}, "package_metadata_version": 1}
            info["info/link.json"] = json.dumps(link).encode()
        package = self.folder / subdir / f"{name}-{version}-0.tar.bz2"
        with tarfile.open(package, "w:bz2", compresslevel=1) as archive:
            for path, data in {**info, **content}.items():
                member = tarfile.TarInfo(path)
                member.size = len(data)
                member.mode = PROGRAM_MODE if path.startswith("bin/") else FILE_MODE
                archive.addfile(member, io.BytesIO(data))
            for path, target in links.items():
                member = tarfile.TarInfo(path)
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
        return package

    def add_python_package(
        self, name: str, version: str, depends: Sequence[str] = ("python",), module: str = ""
    ) -> Path:
        """Make a package with one module and the metadata that Python's tools need."""
        folder = f"site-packages/{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        content = {
            f"site-packages/{name}.py": (module or f"VERSION = '{version}'\n").encode(),
            f"{folder}/METADATA": metadata.encode(),
            f"{folder}/INSTALLER": b"conda",
        }
        record = "".join(f"{path.removeprefix('site-packages/')},,\n" for path in content)
        content[f"{folder}/RECORD"] = record.encode()
        return self.add(name, version, depends, files=content, noarch=True)

    def index(self) -> None:
        """Write the list of packages that solvers read."""
        asyncio.run(index_fs(self.folder, force=True))


class Index:
    """A folder of wheels, one folder a package, which a web server lists as PyPI does."""

    def __init__(self, folder: Path) -> None:
        """Make an empty index."""
        self.folder = folder
        folder.mkdir(parents=True)

    def add(
        self,
        name: str,
        version: str,
        requires: Sequence[str] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        """Make a wheel with one module and other files."""
        about = f"{name}-{version}.dist-info"
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        metadata += [f"Requires-Dist: {each}" for each in requires]
        content = {
            f"{name}.py": f"VERSION = '{version}'\n".encode(),
            f"{about}/METADATA": "\n".join([*metadata, ""]).encode(),
            f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            **(files or {}),
        }
        content[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in content).encode()
        wheel = self.folder / name / f"{name}-{version}-py3-none-any.whl"
        wheel.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, data in content.items():
                archive.writestr(path, data)
        return wheel


@contextmanager
def served(
    folder: Path, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None
) -> Generator[str, None, None]:
    """Serve a channel or an index on a free port; yield its URL."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer((host, 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http{'s' if tls else ''}://{host}:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def _path(path: str, data: bytes, kind: str) -> dict[str, Any]:
    return {
        "_path": path,
        "path_type": kind,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_in_bytes": len(data),
    }

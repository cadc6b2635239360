"""`airflow_env` from a conda channel, in the image's own build, with a Python that runs.

The channel is made and served here: Debian's Python repackaged as conda does it, and packages that
need each other. What comes from PyPI is real.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import six

from infra.credentials import registry_certificate
from tests.network_addresses import addresses_of
from tests.package_sources import Channel, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
LABEL = "dairflow.test"
BUILD_TIMEOUT_SECONDS = 600

CONDA = "python=3.13\ntool  # brings six\n"
PIP = "# Your packages go below this line.\npython-dateutil==2.9.0.post0\n"  # needs six

LEFT_OUT = re.compile(r"/(__pycache__|test|idlelib|ensurepip|EXTERNALLY-MANAGED|turtle.*)(/|$)")


def build(folder: Path, target: str, tag: str, mark: str, **arguments: str) -> str:
    """Build a stage of the Airflow image's Dockerfile; return the build's output."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools.build_image", "--target", target, "--tag", tag),
            *("--label", f"{LABEL}={mark}"),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *("--file", str(folder / "images" / "airflow" / "Dockerfile"), str(folder)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_SECONDS,
    )
    printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    if done.returncode != 0:
        raise AssertionError(printed)
    return printed


@pytest.fixture(scope="module")
def images(docker_client: docker.DockerClient, test_mark: str) -> Iterator[Callable[[str], str]]:
    """Names of images that go when the tests are over."""
    names: list[str] = []

    def name(purpose: str) -> str:
        names.append(f"dairflow/test-{test_mark}-{purpose}")
        return names[-1]

    yield name
    for made in names:
        if docker_client.images.list(made):
            docker_client.images.remove(made, force=True)


@pytest.fixture(scope="module")
def tools(images: Callable[[str], str], test_mark: str) -> str:
    """The stage that makes environments."""
    name = images("tools")
    build(ROOT, "tools", name, test_mark)
    return name


@pytest.fixture(scope="module")
def channel(
    docker_client: docker.DockerClient, tools: str, tmp_path_factory: pytest.TempPathFactory
) -> Channel:
    """A channel with a Python, a package that another one brings, and one that excludes it."""
    channel = Channel(tmp_path_factory.mktemp("conda") / "channel")
    channel.add(
        "python",
        "3.13.5",
        files=python_files(docker_client, tools),
        links={"bin/python": "python3.13", "bin/python3": "python3.13"},
    )
    for version in ("1.15.0", "1.17.0"):
        channel.add_python_package("six", version, module=Path(six.__file__).read_text())
    channel.add_python_package("tool", "1.0", ["python", "six >=1.16,<2"])
    channel.add_python_package("old_tool", "1.0", ["python", "six <1.16"])
    channel.index()
    return channel


def python_files(docker_client: docker.DockerClient, image: str) -> dict[str, bytes]:
    """Return Debian's Python, made to look for packages where every other Python does."""
    container = docker_client.containers.create(image, "true")
    try:
        files: dict[str, bytes] = {}
        for path in ("/usr/bin/python3.13", "/usr/lib/python3.13"):
            chunks, _ = container.get_archive(path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                for member in archive:
                    name = str(Path(path).parent.relative_to("/usr") / member.name)
                    if member.isfile() and not LEFT_OUT.search(name):
                        content = archive.extractfile(member)
                        assert content
                        files[name] = content.read()
    finally:
        container.remove()
    # Debian's looks in dist-packages of its own; and its site.py is compiled into the program.
    scheme = "lib/python3.13/sysconfig/__init__.py"
    assert b"scheme = 'posix_local'" in files[scheme]
    files[scheme] = files[scheme].replace(b"scheme = 'posix_local'", b"scheme = 'posix_prefix'")
    files["lib/python3.13/sitecustomize.py"] = (
        b"import site, sys; site.addsitedir(sys.prefix + '/lib/python3.13/site-packages')"
    )
    return files


@pytest.fixture(scope="module")
def gateway(docker_client: docker.DockerClient) -> str:
    """This machine's address, as containers see it."""
    return addresses_of(docker_client.networks.get("bridge"))[1]


@pytest.fixture(scope="module")
def url(channel: Channel, gateway: str) -> Iterator[str]:
    with served(channel.folder, gateway) as url:
        yield url


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context with the image's own Dockerfile and program, and small requirements."""
    folder = tmp_path_factory.mktemp("context")
    ignored = shutil.ignore_patterns("*.lock", "__pycache__")
    shutil.copytree(ROOT / "images" / "airflow", folder / "images" / "airflow", ignore=ignored)
    write(folder, CONDA, PIP)
    return folder


def write(context: Path, conda: str, pip: str) -> None:
    (context / "images" / "airflow" / "conda_requirements.txt").write_text(conda)
    (context / "images" / "airflow" / "pip_requirements.txt").write_text(pip)


def run(image: str, script: str, *options: str) -> str:
    done = subprocess.run(
        ["docker", "run", "--rm", *options, image, "sh", "-ec", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


AS_SHIPPED = "for layer in /layers/*; do cp -a $layer/. /; done; "
ASK = """
import dateutil, importlib.metadata as metadata, json, six, sys, tool
print(json.dumps({
    "prefix": sys.prefix, "tool": tool.VERSION, "packages": {
        d.name: (d.version, d.read_text("INSTALLER").strip()) for d in metadata.distributions()},
    "compiled": [m.__cached__ for m in (six, dateutil)], "stream": six.StringIO("x").read()}))
"""


@pytest.fixture(scope="module")
def built(context: Path, url: str, images: Callable[[str], str], test_mark: str) -> tuple[str, str]:
    """The stage with the environment, and its build's output."""
    name = images("env")
    return name, build(context, "env", name, test_mark, CONDA_CHANNELS=url)


def test_packages_of_both_files_run_in_conda_s_python(built: tuple[str, str]) -> None:
    name, printed = built
    assert "airflow_env: 3 conda packages solved now" in printed
    assert "airflow_env: 1 packages from PyPI resolved now" in printed
    found = json.loads(run(name, f"{AS_SHIPPED} /opt/airflow_env/bin/python -c '{ASK}'"))
    assert found["prefix"] == "/opt/airflow_env"
    assert found["tool"] == "1.0"
    assert found["packages"]["six"] == ["1.17.0", "conda"]
    assert found["packages"]["tool"] == ["1.0", "conda"]
    assert found["packages"]["python-dateutil"][1] == "uv"
    assert found["stream"] == "x"
    run(name, AS_SHIPPED + " ".join(["test -s", " -a -s ".join(found["compiled"])]))


def test_an_edit_of_the_pip_file_leaves_conda_s_part_as_it_is(
    built: tuple[str, str], context: Path, url: str, images: Callable[[str], str], test_mark: str
) -> None:
    write(context, CONDA, f"{PIP}iniconfig\n")
    name = images("env-again")
    printed = build(context, "env", name, test_mark, CONDA_CHANNELS=url)
    assert re.search(r"airflow_env conda \S+ \(cached\)", printed)
    assert "2 packages from PyPI resolved now" in printed
    # What the image would ship of it: nothing but the layer of the user's own packages.
    sums = (
        "cd /layers && for layer in *; do echo $layer $(tar -cC $layer --mtime=@0 . | md5sum); done"
    )
    before, after = (run(image, sums).split("\n") for image in (built[0], name))
    assert [new.split()[0] for old, new in zip(before, after, strict=True) if old != new] == [
        "yours"
    ]


def test_locks_made_once_are_what_every_build_installs(
    context: Path,
    tools: str,
    url: str,
    images: Callable[[str], str],
    test_mark: str,
) -> None:
    write(context, f"{CONDA}# a comment\n", PIP)
    folder = context / "images" / "airflow"
    folder.chmod(0o777)
    printed = run(
        tools,
        "cd /work && python -m airflow_env lock",
        *("--volume", f"{folder}:/work", "--env", f"CONDA_CHANNELS={url}"),
        *("--user", "1000:1000", "--env", "HOME=/tmp"),
    )
    assert "tool: only a conda channel is known to have it" in printed
    assert {file.name for file in folder.glob("*.lock")} == {
        *("conda_requirements.lock", "pip_requirements.lock")
    }
    # Without CONDA_CHANNELS: the lock has its channel.
    printed = build(context, "env", images("env-locked"), test_mark)
    assert "airflow_env: 3 conda packages by conda_requirements.lock" in printed
    assert "airflow_env: 1 packages from PyPI by pip_requirements.lock" in printed


def test_a_build_that_cannot_work_names_the_lines_of_both_files(
    context: Path, url: str, images: Callable[[str], str], test_mark: str
) -> None:
    for conda, pip, message in (
        (
            CONDA,
            "six<1.17\n",
            (
                r"\| +pip_requirements.txt:1: six<1.17\n"
                r"  \| +conda_requirements.txt:2: tool \(needs it\) → conda chose six 1.17.0\n"
            ),
        ),
        (
            f"{CONDA}old_tool\n",
            PIP,
            (
                r"exclude each other .*\n  \| +conda_requirements.txt:2: tool\n"
                r"  \| +conda_requirements.txt:3: old_tool\n"
            ),
        ),
    ):
        write(context, conda, pip)
        with pytest.raises(AssertionError, match=message):
            build(context, "env", images("env-broken"), test_mark, CONDA_CHANNELS=url)


def test_a_channel_behind_a_certificate_of_one_s_own(
    channel: Channel, gateway: str, tools: str, context: Path, tmp_path: Path
) -> None:
    """As set-up puts a proxy's certificate into the base image (CA_BUNDLE)."""
    certificate = registry_certificate([gateway])
    (tmp_path / "server.pem").write_text(certificate.certificate + certificate.private_key)
    (tmp_path / "authority.crt").write_text(certificate.authority)
    write(context, CONDA, PIP)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    make = "cd /work && python -m airflow_env conda /opt/airflow_env 2>&1"
    trust = "cp /ca/authority.crt /usr/local/share/ca-certificates/ && update-ca-certificates >&2"
    with served(channel.folder, gateway, tls=tls) as url:
        options = (
            *("--volume", f"{context / 'images' / 'airflow'}:/work:ro"),
            *("--volume", f"{tmp_path}:/ca:ro", "--env", f"CONDA_CHANNELS={url}"),
        )
        assert "certificate is not trusted" in run(tools, f"{make} || true", *options)
        assert "3 conda packages solved now" in run(tools, f"{trust}; {make}", *options)

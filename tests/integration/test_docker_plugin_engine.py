"""The stand-in with a real Docker engine and a real registry."""

# pyright: reportMissingImports=false

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import docker
import docker.errors
import grpc
import psutil
import pytest
import requests
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, provider_pb2
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

PLUGIN = Path(__file__).parents[2] / "tools" / "plugins" / "docker"
sys.path.insert(0, str(PLUGIN))

from docker_stand_in.client import PluginProcess, Secret, urn_of  # noqa: E402
from docker_stand_in.values import Properties, Value, encode  # noqa: E402

from infra.images import project_images  # noqa: E402

pytestmark = pytest.mark.integration

REGISTRY_IMAGE = project_images.reference("registry")
USER, PASSWORD = "pusher", "the-registrys-password"
BUILD_SECRET = "the-build-secret"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    before = {tag for image in client.images.list() for tag in image.tags}
    yield client
    mine = {tag for image in client.images.list() for tag in image.tags if "plugintest" in tag}
    assert not mine - before, "the tests left tags"
    client.close()


@pytest.fixture(scope="module")
def registry(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A registry of the project's own image with one account, on a free loopback port."""
    if not engine.images.list(REGISTRY_IMAGE):
        pytest.skip(f"{REGISTRY_IMAGE} is not built yet: make setup builds it")
    htpasswd = tmp_path_factory.mktemp("registry") / "htpasswd"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    htpasswd.write_text(f"{USER}:{hashed}\n")
    container = engine.containers.run(
        REGISTRY_IMAGE,
        name=f"plugintest-registry-{secrets.token_hex(3)}",
        detach=True,
        ports={"5000/tcp": ("127.0.0.1", None)},
        environment={
            "REGISTRY_HTTP_ADDR": "0.0.0.0:5000",
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "plugintest",
            "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
        },
        volumes={str(htpasswd.parent): {"bind": "/auth", "mode": "ro"}},
    )
    try:
        container.reload()
        address = f"127.0.0.1:{container.ports['5000/tcp'][0]['HostPort']}"
        assert _status(address) == 401, container.logs().decode()
        yield address
    finally:
        container.remove(force=True, v=True)


@retry(
    retry=retry_if_result(lambda status: status is None),
    wait=wait_fixed(0.1),
    stop=stop_after_delay(30),
)
def _status(address: str) -> int | None:
    try:
        return requests.get(f"http://{address}/v2/", timeout=5).status_code
    except requests.ConnectionError:
        return None


@pytest.fixture
def program(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    app.mkdir()
    (app / "a.txt").write_text("a")
    (app / "b.txt").write_text("b")
    (app / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /\nCOPY b.txt /\nCMD ['x']\n")
    return tmp_path


@pytest.fixture
def plugin(program: Path) -> Iterator[PluginProcess]:
    with PluginProcess(program) as running:
        running.configure()
        yield running


def executable(app: Path, *, name: str = "sh") -> None:
    """Put one of this machine's programs and its libraries into a context for ``FROM scratch``."""
    path = shutil.which(name)
    assert path is not None
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True, timeout=30)
    libraries = [word for word in listed.stdout.split() if word.startswith("/")]
    for source in libraries:
        target = app / "root" / source.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    shutil.copy(path, app / "root" / name)


def inputs(registry: str, *, name: str = "plugintest/app:dev", **more: Value) -> dict[str, Any]:
    return {
        "imageName": f"{registry}/{name}",
        "build": {"context": "app"},
        "registry": {"server": registry, "username": USER, "password": Secret(PASSWORD)},
        **more,
    }


def local(**build: Value) -> dict[str, Any]:
    """Inputs of an image that is built only."""
    name = f"plugintest-{secrets.token_hex(3)}:dev"
    return {"imageName": name, "skipPush": True, "build": {"context": "app", **build}}


def checked(plugin: PluginProcess, given: Properties) -> dict[str, Any]:
    result, failures = plugin.check(given)
    assert failures == {}
    return result


def failed(plugin: PluginProcess, given: Properties) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        plugin.create(checked(plugin, given))
    return error.value


def tags(engine: docker.DockerClient) -> set[str]:
    return {tag for image in engine.images.list() for tag in image.tags}


def test_build_push_change_and_delete(
    plugin: PluginProcess, engine: docker.DockerClient, registry: str, program: Path
) -> None:
    first = checked(plugin, inputs(registry))
    identity, state = plugin.create(first)
    name = first["imageName"]
    assert identity == name

    manifest = requests.get(
        f"http://{registry}/v2/plugintest/app/manifests/dev",
        auth=(USER, PASSWORD),
        headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        timeout=10,
    )
    digest = manifest.headers["Docker-Content-Digest"]
    assert state["repoDigest"] == f"{registry}/plugintest/app@{digest}"
    assert state["registryServer"] == registry
    assert "[1/2] COPY a.txt /" in plugin.engine.text
    assert all(ephemeral for _, _, ephemeral in plugin.engine.lines)
    assert PASSWORD not in plugin.engine.text

    (program / "app" / "b.txt").write_text("changed")
    second = checked(plugin, inputs(registry))
    assert plugin.diff(state, second, first).keys() == {"build.contextDigest"}
    changed = plugin.update(state, second)
    assert changed["repoDigest"] != state["repoDigest"]
    with pytest.raises(docker.errors.ImageNotFound):
        engine.images.get(state["repoDigest"])

    plugin.delete(changed)
    assert name not in tags(engine)

    plugin.engine.lines.clear()
    _, again = plugin.create(second)
    assert "[2/2] COPY b.txt / (cached)" in plugin.engine.text
    plugin.delete(again)
    assert plugin.lines(severities=[engine_pb2.WARNING]) == []


def test_a_credential_helper_that_is_missing(
    engine: docker.DockerClient,
    registry: str,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a push without a login of its own needs it, and then the message names it."""
    (program / "config.json").write_text('{"credsStore": "no-such-store"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(program))
    with PluginProcess(program) as plugin:
        plugin.configure()
        _, state = plugin.create(checked(plugin, inputs(registry)))
        assert state["repoDigest"]
        without = inputs(registry)
        del without["registry"]
        assert "docker-credential-no-such-store" in str(failed(plugin, without).details())
        plugin.delete(state)
    assert state["imageName"] not in tags(engine)


def test_a_new_name_takes_the_old_tag_away(
    plugin: PluginProcess, engine: docker.DockerClient, registry: str
) -> None:
    first = checked(plugin, inputs(registry))
    _, state = plugin.create(first)
    second = checked(plugin, inputs(registry, name="plugintest/other:dev"))
    renamed = plugin.update(state, second)
    assert first["imageName"] not in tags(engine)
    assert second["imageName"] in tags(engine)
    plugin.delete(renamed)
    assert second["imageName"] not in tags(engine)


def test_a_tag_that_names_another_image_by_now_is_left(
    plugin: PluginProcess, engine: docker.DockerClient, program: Path
) -> None:
    given = local()
    _, state = plugin.create(checked(plugin, given))
    (program / "app" / "a.txt").write_text("another")
    _, other = plugin.create(checked(plugin, given))
    assert other["repoDigest"] != state["repoDigest"]
    plugin.delete(state)
    assert given["imageName"] in tags(engine)
    plugin.delete(other)
    assert given["imageName"] not in tags(engine)


def test_an_image_that_is_not_pushed_has_its_id_as_digest(
    plugin: PluginProcess, engine: docker.DockerClient
) -> None:
    given = local()
    _, state = plugin.create(checked(plugin, given))
    assert state["repoDigest"] == engine.images.get(given["imageName"]).id
    plugin.delete(state)


def test_arguments_target_and_outer_dockerfile_reach_the_build(
    plugin: PluginProcess, engine: docker.DockerClient, program: Path
) -> None:
    (program / "other.Dockerfile").write_text(
        "FROM scratch AS first\nARG COLOUR\nLABEL colour=$COLOUR\nCOPY a.txt /\n"
        "FROM first\nLABEL last=yes\n"
    )
    given = local(dockerfile="other.Dockerfile", target="first", args={"COLOUR": "green"})
    _, state = plugin.create(checked(plugin, given))
    labels = engine.images.get(given["imageName"]).labels
    assert labels == {"colour": "green"}
    assert state["dockerfile"] == "../other.Dockerfile"
    plugin.delete(state)


def test_a_failed_step_shows_its_last_lines_and_no_secret(
    plugin: PluginProcess, engine: docker.DockerClient, program: Path
) -> None:
    executable(program / "app")
    (program / "app" / "Dockerfile").write_text(
        "FROM scratch\nCOPY root /\nARG TOKEN\n"
        'RUN ["/sh", "-c", "echo first; echo the token is $TOKEN; exit 3"]\n'
    )
    containers = {container.id for container in engine.containers.list(all=True)}
    error = failed(plugin, local(args={"TOKEN": Secret(BUILD_SECRET)}))
    assert "failed at step [2/2] RUN" in error.details()
    assert "| first" in error.details()
    assert "the token is [secret]" in error.details()
    assert "exit code: 3" in error.details()
    assert BUILD_SECRET not in error.details() + plugin.engine.text
    left = {container.id for container in engine.containers.list(all=True)} - containers
    assert not {identity for identity in left if _is_of_scratch(engine, identity)}


def _is_of_scratch(engine: docker.DockerClient, identity: str) -> bool:
    """Whether a container is one of the builds here; other tests may run beside this one."""
    try:
        return engine.containers.get(identity).attrs["Path"] == "/sh"
    except docker.errors.NotFound:
        return False


def test_a_wrong_password_is_reported_and_not_shown(
    plugin: PluginProcess, engine: docker.DockerClient, registry: str
) -> None:
    account = {"username": USER, "password": Secret("a-wrong-password")}
    given = {**inputs(registry), "registry": account}
    error = failed(plugin, given)
    assert f"pushing {given['imageName']} to {registry} as 'pusher' failed" in error.details()
    assert "registry.username and password" in error.details()
    assert "a-wrong-password" not in error.details() + plugin.engine.text
    engine.images.remove(given["imageName"], noprune=True)


def test_a_missing_registry_is_reported(plugin: PluginProcess, engine: docker.DockerClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and not listened on
        given = inputs(f"127.0.0.1:{unused.getsockname()[1]}")
        error = failed(plugin, given)
    assert "No registry answers there" in error.details()
    engine.images.remove(given["imageName"], noprune=True)


def _cancelled(plugin: PluginProcess, given: Properties, *, once: str) -> grpc.RpcError:
    """Begin a create, cancel it when a line of its log shows its progress; the answer's error."""
    future = plugin.stub.Create.future(_create_request(checked(plugin, given)), timeout=300)
    _wait_for_line(plugin, once)
    plugin.stub.Cancel(empty_pb2.Empty())
    with pytest.raises(grpc.RpcError) as error:
        future.result(timeout=60)
    return error.value


def _create_request(properties: Properties) -> object:

    return provider_pb2.CreateRequest(urn=urn_of(), properties=encode(properties))


@retry(
    retry=retry_if_result(lambda found: not found), wait=wait_fixed(0.05), stop=stop_after_delay(60)
)
def _wait_for_line(plugin: PluginProcess, text: str) -> bool:
    return text in plugin.engine.text


@retry(retry=retry_if_result(bool), wait=wait_fixed(0.1), stop=stop_after_delay(30))
def _running(*command: str) -> list[int]:
    """Return the processes of a command; BuildKit's are in no container that Docker lists."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == list(command)
    ]


def test_cancel_ends_a_build_and_its_process(plugin: PluginProcess, program: Path) -> None:
    executable(program / "app", name="sleep")
    (program / "app" / "Dockerfile").write_text(
        'FROM scratch\nCOPY root /\nRUN ["/sleep", "2718"]\n'
    )
    error = _cancelled(plugin, local(), once="[2/2] RUN")
    assert error.code() is grpc.StatusCode.CANCELLED
    assert _running("/sleep", "2718") == []


def test_cancel_ends_a_push(plugin: PluginProcess, engine: docker.DockerClient) -> None:
    """To a registry that takes connections and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        held = []
        accepting = threading.Thread(target=lambda: held.append(silent.accept()), daemon=True)
        accepting.start()
        given = inputs(f"127.0.0.1:{silent.getsockname()[1]}")
        future = plugin.stub.Create.future(_create_request(checked(plugin, given)), timeout=300)
        accepting.join(timeout=60)
        assert held, "the push did not begin"
        plugin.stub.Cancel(empty_pb2.Empty())
        with pytest.raises(grpc.RpcError) as error:
            future.result(timeout=30)
        assert error.value.code() is grpc.StatusCode.CANCELLED
        for connection, _ in held:
            connection.close()
    engine.images.remove(given["imageName"], noprune=True)


def test_an_image_in_use_is_not_torn_from_its_container(
    plugin: PluginProcess, engine: docker.DockerClient
) -> None:
    given = local()
    _, state = plugin.create(checked(plugin, given))
    container = engine.api.create_container(given["imageName"], command="/x")
    try:
        plugin.delete(state)
        (warning,) = plugin.lines(severities=[engine_pb2.WARNING])
        assert f"docker rmi {given['imageName']}" in warning
    finally:
        engine.api.remove_container(container)
    plugin.delete(state)
    assert given["imageName"] not in tags(engine)


PROGRAM = """
import pulumi
import pulumi_docker as docker

config = pulumi.Config()
image = docker.Image(
    "app",
    image_name=config.require("registry") + "/plugintest/cli:dev",
    build=docker.DockerBuildArgs(context="app", args={"TOKEN": config.require_secret("token")}),
    registry=docker.RegistryArgs(
        server=config.require("registry"),
        username="pusher",
        password=config.require_secret("password"),
    ),
    opts=pulumi.ResourceOptions(provider=docker.Provider("engine")),
)
pulumi.export("digest", image.repo_digest)
"""


@pytest.fixture
def pulumi(program: Path) -> Callable[..., str]:
    """The real command line, with the stand-in installed in a home of its own."""
    local_bin = Path(__file__).parents[2] / ".dairflow" / "bin"
    path = os.pathsep.join([str(Path(sys.executable).parent), str(local_bin), os.environ["PATH"]])
    if shutil.which("pulumi", path=path) is None:
        pytest.skip("no pulumi command: make setup gets one")
    (program / "Pulumi.yaml").write_text("name: plugintest\nruntime: python\n")
    (program / "__main__.py").write_text(PROGRAM)
    (program / "state").mkdir()
    environment = {
        **os.environ,
        "PATH": path,
        "PULUMI_HOME": str(program / "home"),
        "PULUMI_BACKEND_URL": f"file://{program}/state",
        "PULUMI_CONFIG_PASSPHRASE": "plugintest",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def run(*arguments: str, stdin: str | None = None) -> str:
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(
            command,
            cwd=program,
            env=environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    run("plugin", "install", "resource", "docker", "5.2.0", "-f", str(PLUGIN))
    run("stack", "init", "dev")
    return run


def test_the_real_command_line(
    pulumi: Callable[..., str], engine: docker.DockerClient, registry: str, program: Path
) -> None:
    pulumi("config", "set", "registry", registry)
    pulumi("config", "set", "--secret", "password", stdin=PASSWORD)
    pulumi("config", "set", "--secret", "token", stdin=BUILD_SECRET)
    printed = pulumi("preview")
    assert "+ 3 to create" in printed

    printed += pulumi("up", "--yes", "--skip-preview")
    digest = json.loads(pulumi("stack", "output", "--json"))["digest"]
    assert digest.startswith(f"{registry}/plugintest/cli@sha256:")
    pulumi("preview", "--expect-no-changes")
    pulumi("refresh", "--yes")
    pulumi("preview", "--expect-no-changes")

    (program / "app" / "b.txt").write_text("changed")
    printed += pulumi("up", "--yes")
    assert json.loads(pulumi("stack", "output", "--json"))["digest"] != digest
    printed += pulumi("destroy", "--yes")
    assert not [tag for tag in tags(engine) if "plugintest/cli" in tag]

    states = "".join(path.read_text() for path in (program / "state").rglob("*.json"))
    for secret in (PASSWORD, BUILD_SECRET):
        assert secret not in printed
        assert secret not in states

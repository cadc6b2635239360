"""The stand-in's process, driven over gRPC as the engine drives it. No Docker is needed.

``DOCKER_HOST`` names a socket that does not exist, so whatever would reach for an engine fails.
"""

# pyright: reportMissingImports=false

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.proto import provider_pb2 as messages

PLUGIN = Path(__file__).parents[2] / "tools" / "plugins" / "docker"
sys.path.insert(0, str(PLUGIN))

from docker_stand_in.client import UNKNOWN, PluginProcess, Secret, urn_of  # noqa: E402
from docker_stand_in.values import Properties, Value  # noqa: E402

pytestmark = pytest.mark.contract

IMAGE = "127.0.0.1:5000/dairflow/airflow:dev"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /\n")
    (tmp_path / "app" / "a.txt").write_text("a")
    return tmp_path


@pytest.fixture
def plugin(program: Path) -> Iterator[PluginProcess]:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{program}/no-docker.sock"}
    with PluginProcess(program, environment) as running:
        running.configure()
        yield running


def inputs(**more: Value) -> dict[str, Value]:
    return {"imageName": IMAGE, "build": {"context": "app"}, **more}


def saved(checked: Properties) -> dict[str, Value]:
    """The state after a create, as the engine sends it back."""
    return {"imageName": IMAGE, "__inputs": Secret(checked)}


def test_plugin_info_is_the_packages_version(plugin: PluginProcess) -> None:

    assert plugin.stub.GetPluginInfo(empty_pb2.Empty()).version == version("pulumi-docker")


def test_secrets_are_asked_for_in_both_ways(plugin: PluginProcess) -> None:
    assert plugin.stub.Handshake(messages.ProviderHandshakeRequest()).accept_secrets
    answer = plugin.configure(host="unix:///elsewhere")
    assert answer.acceptSecrets
    assert answer.supportsPreview


def test_provider_without_settings_is_accepted(plugin: PluginProcess) -> None:
    assert plugin.check_config({}) == {}
    assert plugin.check_config({"host": "unix:///var/run/docker.sock"}) == {}


@pytest.mark.parametrize("name", ["caMaterial", "certPath", "context", "registryAuth", "sshOpts"])
def test_provider_settings_that_are_not_served_are_refused_by_name(
    plugin: PluginProcess, name: str
) -> None:
    refused = plugin.check_config({name: "x"})
    assert refused.keys() == {name}
    assert f"Provider.{name}" in refused[name]
    assert "stand-in" in refused[name]
    assert "pulumi plugin install resource docker" in refused[name]


def test_another_host_replaces_no_provider(plugin: PluginProcess) -> None:
    answer = plugin.stub.DiffConfig(messages.DiffRequest(urn=urn_of()))
    assert answer.changes == messages.DiffResponse.DIFF_NONE


@pytest.mark.parametrize("method", ["Check", "Diff", "Create", "Read", "Update", "Delete"])
def test_other_types_are_refused_by_name(plugin: PluginProcess, method: str) -> None:
    kind = "docker:index/container:Container"
    request = getattr(messages, f"{method}Request")(urn=urn_of(kind))
    refusal = plugin.call_refused(method, request)
    assert kind in refusal
    assert "stand-in" in refusal


def test_functions_are_refused_by_name(plugin: PluginProcess) -> None:
    token = "docker:index/getNetwork:getNetwork"
    assert token in plugin.call_refused("Invoke", messages.InvokeRequest(tok=token))
    assert "schema" in plugin.call_refused("GetSchema", messages.GetSchemaRequest())


def test_check_fills_in_defaults_and_the_digest(plugin: PluginProcess) -> None:
    checked, failures = plugin.check(inputs())
    assert failures == {}
    assert checked["build"]["dockerfile"] == "app/Dockerfile"
    assert checked["build"]["platform"].startswith("linux/")
    assert len(checked["build"]["contextDigest"]) == 64
    assert checked["buildOnPreview"] is False


def test_check_reports_all_mistakes_by_name(plugin: PluginProcess) -> None:
    _, failures = plugin.check(
        {"skipPush": "yes", "tag": "x", "build": {"args": {"A": True}, "dockerfil": "x"}}
    )
    assert failures.keys() == {"imageName", "skipPush", "tag", "build.args", "build.dockerfil"}
    assert "required" in failures["imageName"]
    assert "true or false" in failures["skipPush"]
    assert "dockerfile" in failures["build.dockerfil"]


@pytest.mark.parametrize(
    ("build", "refused"),
    [
        ({"cacheFrom": {"images": ["x"]}}, "build.cacheFrom"),
        ({"builderVersion": "BuilderV1"}, "build.builderVersion"),
    ],
)
def test_check_refuses_what_is_not_served_by_name(
    plugin: PluginProcess, build: dict[str, Value], refused: str
) -> None:
    _, failures = plugin.check(inputs(build={"context": "app", **build}))
    assert failures.keys() == {refused}
    assert refused in failures[refused]
    assert "stand-in" in failures[refused]


def test_check_accepts_the_builder_that_it_has(plugin: PluginProcess) -> None:
    build = {"context": "app", "builderVersion": "BuilderBuildKit"}
    assert plugin.check(inputs(build=build))[1] == {}


@pytest.mark.parametrize("name", ["airflow:dev", "user/airflow:dev", "127.0.0.1:5000/Air Flow"])
def test_check_requires_names_that_can_be_pushed(plugin: PluginProcess, name: str) -> None:
    assert plugin.check(inputs(imageName=name))[1].keys() == {"imageName"}


def test_check_takes_a_short_name_that_is_not_pushed(plugin: PluginProcess) -> None:
    assert plugin.check(inputs(imageName="airflow:dev", skipPush=True))[1] == {}


def test_check_reports_where_the_dockerfile_is_searched(plugin: PluginProcess) -> None:
    _, failures = plugin.check(inputs(build={"context": "app", "dockerfile": "Dockerfile"}))
    assert "app/Dockerfile" in failures["build.dockerfile"]
    _, failures = plugin.check(inputs(build={"context": "nowhere"}))
    assert "nowhere" in failures["build.context"]


def test_check_hides_the_password_even_if_the_program_did_not(plugin: PluginProcess) -> None:
    checked, _ = plugin.check(inputs(registry={"username": "u", "password": "hush"}))
    assert checked["registry"] == {"username": "u", "password": Secret("hush")}


@pytest.mark.parametrize(
    "unknown",
    [
        {"imageName": UNKNOWN},
        {"registry": {"server": UNKNOWN, "password": Secret(UNKNOWN)}},
        {"registry": UNKNOWN},
        {"build": UNKNOWN},
        {"build": {"context": UNKNOWN}},
        {"build": {"context": "app", "args": {"A": UNKNOWN}}},
        {"build": {"context": "app", "args": UNKNOWN}},
        {"build": Secret({"context": "app", "platform": UNKNOWN})},
    ],
)
def test_a_preview_takes_what_is_not_known_yet(
    plugin: PluginProcess, unknown: dict[str, Value]
) -> None:
    checked, failures = plugin.check(inputs(**unknown))
    assert failures == {}
    for key, value in unknown.items():
        if value is UNKNOWN:
            assert checked[key] is UNKNOWN
    _, outputs = plugin.create(checked, preview=True)
    assert outputs["repoDigest"] is UNKNOWN
    before, _ = plugin.check(inputs())
    assert plugin.diff(saved(before), checked, before)


def test_no_change_is_not_a_difference(plugin: PluginProcess) -> None:
    first, _ = plugin.check(inputs(registry={"username": "u", "password": Secret("one")}))
    again, _ = plugin.check(inputs(registry={"username": "u", "password": Secret("two")}))
    assert plugin.diff(saved(first), again, first) == {}
    assert plugin.diff({}, again, first) == {}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"imageName": "127.0.0.1:5001/x:y"}, "imageName"),
        ({"registry": {"server": "127.0.0.1:5001"}}, "registry.server"),
        ({"build": {"context": "app", "args": {"A": "1"}}}, "build.args.A"),
        ({"build": {"context": "app", "target": "last"}}, "build.target"),
    ],
)
def test_a_changed_input_is_an_update(
    plugin: PluginProcess, change: dict[str, Value], path: str
) -> None:
    first, _ = plugin.check(inputs())
    again, _ = plugin.check(inputs(**change))
    assert plugin.diff(saved(first), again, first).keys() == {path}


def test_a_changed_file_is_an_update(plugin: PluginProcess, program: Path) -> None:
    first, _ = plugin.check(inputs())
    (program / "app" / "a.txt").write_text("b")
    again, _ = plugin.check(inputs())
    assert plugin.diff(saved(first), again, first).keys() == {"build.contextDigest"}


def test_a_preview_has_all_outputs_but_the_digest(plugin: PluginProcess) -> None:
    checked, _ = plugin.check(inputs(registry={"server": Secret("127.0.0.1:5000")}))
    identity, outputs = plugin.create(checked, preview=True)
    assert identity == IMAGE
    assert outputs["repoDigest"] is UNKNOWN
    assert outputs["imageName"] == outputs["baseImageName"] == IMAGE
    assert outputs["dockerfile"] == "Dockerfile"
    assert outputs["registryServer"] == Secret("127.0.0.1:5000")
    updated = plugin.update(saved(checked), checked, preview=True)
    assert updated == outputs


def test_read_answers_the_state_as_it_is(plugin: PluginProcess) -> None:
    checked, _ = plugin.check(inputs())
    assert plugin.read(saved(checked), checked) == (saved(checked), checked)


def test_a_missing_docker_is_reported_with_its_address(plugin: PluginProcess) -> None:
    checked, _ = plugin.check(inputs())
    with pytest.raises(grpc.RpcError) as refused:
        plugin.create(checked)
    assert "no Docker engine answers at unix://" in refused.value.details()
    assert "no-docker.sock" in refused.value.details()


def test_delete_without_docker_warns_and_succeeds(plugin: PluginProcess) -> None:
    plugin.delete({"imageName": IMAGE, "repoDigest": "x@sha256:00"})
    (warning,) = plugin.lines(severities=[engine_pb2.WARNING])
    assert IMAGE in warning


def test_after_cancel_nothing_begins(plugin: PluginProcess) -> None:
    checked, _ = plugin.check(inputs())
    plugin.stub.Cancel(empty_pb2.Empty())
    with pytest.raises(grpc.RpcError) as refused:
        plugin.create(checked)
    assert refused.value.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process(program: Path, number: signal.Signals) -> None:
    with PluginProcess(program) as plugin:
        plugin.process.send_signal(number)
        assert plugin.process.wait(timeout=30) == 0


def test_the_process_ends_when_its_engine_was_killed(program: Path) -> None:
    with PluginProcess(program) as plugin:
        plugin.configure()
        plugin.delete({})  # its warning is the first call to the engine: now they are connected
        assert plugin.engine.lines
        plugin.engine.stop()
        assert plugin.process.wait(timeout=60) == 0


def test_another_python_is_named(tmp_path: Path) -> None:
    """Isolated and without site-packages, an interpreter has neither pulumi nor docker."""
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(PLUGIN / "pulumi-resource-docker")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 1
    assert sys.executable in run.stderr
    assert "env.sh" in run.stderr

"""The schema is that of the installed package, and the plugin serves all that it must."""

import inspect
import subprocess
import sys
from pathlib import Path

import pulumi_docker
from docker_stand_in import schema
from docker_stand_in.image import SAVED_INPUTS, Image

PLUGIN = Path(__file__).parents[5] / "tools" / "plugins" / "docker"


def test_inputs_are_those_of_the_package() -> None:
    parameters = inspect.signature(pulumi_docker.ImageArgs).parameters
    assert len(schema.image_inputs()) == len(parameters)
    required = {name for name, prop in schema.image_inputs().items() if prop.required}
    assert required == {"imageName"}


def test_nested_inputs_have_their_names_on_the_wire() -> None:
    build = schema.image_inputs()["build"].fields
    assert len(build) == len(inspect.signature(pulumi_docker.DockerBuildArgs).parameters)
    assert build["addHosts"].type is list
    assert build["args"].type is dict
    assert build["context"].type is str
    choices = tuple(member.value for member in pulumi_docker.BuilderVersion)
    assert build["builderVersion"].choices == choices
    registry = schema.image_inputs()["registry"].fields
    assert registry.keys() == {"server", "username", "password"}


def test_outputs_are_exactly_those_of_the_package() -> None:
    image = Image(
        inputs={
            "imageName": "127.0.0.1:5000/it:dev",
            "build": {"context": ".", "dockerfile": "Dockerfile", "platform": "linux/amd64"},
        }
    )
    outputs = image.outputs("127.0.0.1:5000/it@sha256:00")
    assert outputs.keys() - {SAVED_INPUTS} == schema.image_outputs()


def test_version_is_that_of_the_package() -> None:
    plugin_file = Path(inspect.getfile(pulumi_docker)).parent / "pulumi-plugin.json"
    assert f'"version": "{schema.version()}"' in plugin_file.read_text()


def test_the_whole_package_is_not_imported() -> None:
    """Its ``__init__`` costs half a second, at every ``pulumi up``."""
    program = (
        f"import sys; sys.path.insert(0, {str(PLUGIN)!r})\n"
        "from docker_stand_in import schema\n"
        "schema.image_inputs(); schema.image_outputs(); schema.provider_inputs()\n"
        "print('pulumi_docker.container' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "False"

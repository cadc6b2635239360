"""Messages for errors on the way to the engine."""

import docker
import pytest
from docker.errors import DockerException
from docker_stand_in.errors import explain


@pytest.mark.filterwarnings("ignore:docker-credential-no-such-store")
def test_a_missing_credential_helper_is_named() -> None:
    configuration = docker.auth.AuthConfig({"credsStore": "no-such-store"})
    with pytest.raises(DockerException) as caught:
        docker.auth.resolve_authconfig(configuration, "registry.example:5000")
    message = explain(caught.value)
    assert "docker-credential-no-such-store" in message
    assert "remove that entry" in message

"""Type tokens and provider paths are part of every stack's state: a change orphans resources.

A provider is pickled by reference, so the module that it lives in is persisted as well. Who moves
one leaves an alias (or a shim) behind, and only then changes this list.
"""

import base64

import pytest
from pulumi.dynamic import ResourceProvider
from pulumi.dynamic.dynamic import serialize_provider

from infra.machines.local.machines import LocalMachines
from infra.resources import (
    existing,
    image_builds,
    images,
    kept_images,
    keys,
    local,
    node_images,
    operator_access,
    operator_files,
    place,
    push_port,
    registry,
    stack,
    swarm,
)

TOKENS = {
    existing.AcceptedHostKey: "dynamic/machines:AcceptedHostKey",
    existing.ExistingHosts: "dynamic/machines:ExistingHosts",
    image_builds.ImageBuild: "dynamic/images:ImageBuild",
    images.DeployedImage: "dynamic/images:DeployedImage",
    images.EcrImage: "dynamic/images:EcrImage",
    kept_images.KeptImages: "dynamic/images:KeptImages",
    node_images.NodeImages: "dynamic/images:NodeImages",
    keys.RegistryCertificate: "dynamic/keys:RegistryCertificate",
    keys.Secrets: "dynamic/keys:Secrets",
    keys.SshKey: "dynamic/keys:SshKey",
    local.LocalMachine: "dynamic/machines:LocalMachine",
    local.LocalNetwork: "dynamic/machines:LocalNetwork",
    operator_access.OperatorAccess: "dynamic/keys:OperatorAccess",
    operator_files.OperatorFiles: "dynamic/operator:OperatorFiles",
    place.Place: "dynamic/machines:Place",
    push_port.PushPort: "dynamic/registry:PushPort",
    registry.Registry: "dynamic/registry:Registry",
    stack.Stack: "dynamic/stack:Stack",
    swarm.Swarm: "dynamic/swarm:Swarm",
}

PROVIDERS = {
    existing.AcceptedHostKeyProvider: "infra.resources.existing",
    existing.ExistingHostsProvider: "infra.resources.existing",
    image_builds.ImageBuildProvider: "infra.resources.image_builds",
    images.DeployedImageProvider: "infra.resources.images",
    images.EcrImageProvider: "infra.resources.images",
    kept_images.KeptImagesProvider: "infra.resources.kept_images",
    node_images.NodeImagesProvider: "infra.resources.node_images",
    keys.RegistryCertificateProvider: "infra.resources.keys",
    keys.SecretsProvider: "infra.resources.keys",
    keys.SshKeyProvider: "infra.resources.keys",
    local.LocalMachineProvider: "infra.resources.local",
    local.LocalNetworkProvider: "infra.resources.local",
    operator_access.OperatorAccessProvider: "infra.resources.operator_access",
    operator_files.OperatorFilesProvider: "infra.resources.operator_files",
    place.PlaceProvider: "infra.resources.place",
    push_port.PushPortProvider: "infra.resources.push_port",
    registry.RegistryProvider: "infra.resources.registry",
    stack.StackProvider: "infra.resources.stack",
    swarm.SwarmProvider: "infra.resources.swarm",
}


@pytest.mark.parametrize(("resource", "token"), TOKENS.items())
def test_a_token_stays(resource: type, token: str) -> None:
    assert resource._resource_type_name == token


@pytest.mark.parametrize(("provider", "module"), PROVIDERS.items())
def test_a_provider_is_pickled_by_reference(provider: type, module: str) -> None:
    pickled = base64.b64decode(serialize_provider(provider()))
    assert len(pickled) < 100
    assert module.encode() in pickled
    assert provider.__name__.encode() in pickled


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_update_never_wipes_the_outputs(provider: type) -> None:
    """The SDK's own ``update`` returns no outputs: what can be updated must bring its own."""
    if provider.compared:
        assert provider.update is not ResourceProvider.update


def test_the_component_is_documented() -> None:
    assert LocalMachines.__doc__

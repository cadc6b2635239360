"""Keys, passwords and certificates: generated once, kept in the stack's encrypted state."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.resources.provider import Props, Provider, say
from infra.stack.secrets import (
    FERNET_KEY,
    NAMING_KEY,
    RETIRED,
    RETIRED_FERNET_KEYS,
    SECRET_NAMES,
    generate,
)
from infra.stack.yaml_values import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.credentials import Certificate


class SshKeyProvider(Provider):
    """Generates an ed25519 key pair; nothing outside the state is changed."""

    compared = ("rotation",)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a key."""
        return CreateResult(secrets.token_hex(8), {**_key_pair(props), "former_keys": []})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for a rotation.

        Former keys are kept: after interrupted rotations a machine may accept only one of them.
        """
        former: list[str] = olds.get("former_keys") or []
        if not news.get("rotation"):
            kept = {name: olds[name] for name in ("private_key", "public_key")}
            return UpdateResult({**news, **kept, "former_keys": former})
        return UpdateResult({**_key_pair(news), "former_keys": [olds["private_key"], *former]})


class SshKey(Resource, module="keys", name="SshKey"):
    """An ed25519 key pair: a machine's host key, or the operator's."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]
    former_keys: pulumi.Output[list[str] | None]
    """The private keys before, the newest first; None in a state of an older release."""

    def __init__(
        self, name: str, *, rotation: int = 0, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Generate the key pair. Another ``rotation`` replaces it; 0 leaves it."""
        props: dict[str, Any] = {"private_key": None, "public_key": None, "former_keys": None}
        if rotation:
            props["rotation"] = rotation
        options = _secret_outputs(opts, "private_key", "former_keys")
        super().__init__(SshKeyProvider(), name, props, options)


REGISTRY_PASSWORD = "registry_password"  # noqa: S105 - its name
RETIRED_REGISTRY_PASSWORD = "registry_password_retired"  # noqa: S105 - its name
"""The password before the current one: the registry accepts it until the next rotation."""


class SecretsProvider(Provider):
    """Generates missing secrets, and removes those that the release does not need."""

    compared = ("names", "rotations", "given")

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this once for a stack."""
        cluster_id = secrets.token_hex(4)
        values = _values(props["names"], {}, as_object(props.get("given")))
        return CreateResult(cluster_id, {**props, "values": values, "cluster_id": cluster_id})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for a rotation, or if a release needs other secrets.

        Other secrets stay the same.
        """
        before, asked = as_object(olds.get("rotations")), as_object(news.get("rotations"))
        kept = {
            name: value
            for name, value in olds["values"].items()
            if name not in asked or asked[name] == before.get(name)
        }
        kept[NAMING_KEY] = olds["values"].get(NAMING_KEY) or olds["values"][FERNET_KEY]
        values = _values(news["names"], kept, as_object(news.get("given")))
        values |= _retired_fernet_keys(olds["values"], values[FERNET_KEY])
        values |= _retired(olds["values"], values)
        return UpdateResult({**news, "values": values, "cluster_id": olds["cluster_id"]})


class Secrets(Resource, module="keys", name="Secrets"):
    """The passwords of the services, and the cluster's random identity."""

    values: pulumi.Output[dict[str, str]]
    cluster_id: pulumi.Output[str]
    """Eight hexadecimal digits that distinguish this cluster's containers from another clone's."""

    def __init__(
        self,
        name: str,
        *,
        rotations: Mapping[str, int],
        given: Mapping[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Generate every secret that the stack's services and the registry need.

        A secret in ``rotations`` gets another value if its number changes; other resources rotate
        the other names. ``given`` are the user's values.
        """
        names = [*SECRET_NAMES, REGISTRY_PASSWORD, NAMING_KEY]
        props = {
            "names": names,
            "rotations": {name: number for name, number in rotations.items() if name in names},
            "given": pulumi.Output.secret(given),
            "values": None,
            "cluster_id": None,
        }
        super().__init__(SecretsProvider(), name, props, _secret_outputs(opts, "values"))


class RegistryCertificateProvider(Provider):
    """Generates a certificate authority and a server certificate for the registry's addresses."""

    compared = ("rotation",)
    replaced_by = ("addresses",)

    def create(self, props: Props) -> CreateResult:
        """Pulumi calls this first, and if the registry's addresses change."""
        from infra import credentials

        certificate = credentials.registry_certificate(props["addresses"])
        return CreateResult(secrets.token_hex(8), _certificate_outs(props, certificate))

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        """Compare; a certificate is renewed at half of its life, too."""
        from infra import credentials

        found = super().diff(_id, olds, news)
        if found.changes or not credentials.is_due(olds["certificate"], datetime.now(UTC)):
            return found
        return DiffResult(changes=True, replaces=[], delete_before_replace=True)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        """Pulumi calls this for a rotation, or when the certificate is due.

        The swarm comes after it and the registry after the swarm, so the nodes trust both
        authorities before the registry shows the new certificate.
        """
        from infra import credentials

        is_rotated = news.get("rotation") not in (None, olds.get("rotation"))
        if not is_rotated and not credentials.is_due(olds["certificate"], datetime.now(UTC)):
            kept = {name: olds[name] for name in ("authority", "certificate", "private_key")}
            return UpdateResult({**news, **kept})
        certificate = credentials.renewed_registry_certificate(news["addresses"], olds["authority"])
        reason = "as rotateSecrets has it" if is_rotated else "since half of its life is over"
        say(f"the registry's certificate is renewed, {reason}")
        return UpdateResult(_certificate_outs(news, certificate))


class RegistryCertificate(Resource, module="keys", name="RegistryCertificate"):
    """The TLS identity of the embedded registry; PEM texts."""

    authority: pulumi.Output[str]
    certificate: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        addresses: pulumi.Input[Sequence[pulumi.Input[str]]],
        rotation: int = 0,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``addresses`` are the IP addresses and host names that clients connect to.

        Another ``rotation`` replaces the certificate; 0 leaves it.
        """
        props: dict[str, Any] = {
            "addresses": addresses,
            "authority": None,
            "certificate": None,
            "private_key": None,
        }
        if rotation:
            props["rotation"] = rotation
        options = _secret_outputs(opts, "private_key")
        super().__init__(RegistryCertificateProvider(), name, props, options)


def _key_pair(props: Props) -> Props:
    from infra.remote.keys import generate_key_pair

    pair = generate_key_pair()
    return {**props, "private_key": pair.private, "public_key": pair.public}


def _certificate_outs(props: Props, certificate: Certificate) -> Props:
    return {
        **props,
        "authority": certificate.authority,
        "certificate": certificate.certificate,
        "private_key": certificate.private_key,
    }


def _values(
    names: Sequence[str], known: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """Return a value for each of the names: the given or known one, or a new one."""
    from infra import credentials

    made = {name: credentials.password() for name in (REGISTRY_PASSWORD, NAMING_KEY)}
    all_values = {**generate(), **made, **known, **given}
    return {name: all_values[name] for name in names}


def _retired_fernet_keys(before: Mapping[str, str], fernet_key: str) -> dict[str, str]:
    """Return the former Fernet keys with which values may still be encrypted."""
    retired = before.get(RETIRED_FERNET_KEYS, "")
    if before[FERNET_KEY] != fernet_key:
        retired = ",".join(filter(None, (before[FERNET_KEY], retired)))
    return {RETIRED_FERNET_KEYS: retired} if retired else {}


def _retired(before: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return the values before the current ones: no older ones are accepted."""
    retired: dict[str, str] = {}
    for name, former in (RETIRED | {REGISTRY_PASSWORD: RETIRED_REGISTRY_PASSWORD}).items():
        if name not in values:
            continue
        present = before.get(name, values[name])
        if value := before.get(former) if present == values[name] else present:
            retired[former] = value
    return retired


def _secret_outputs(opts: pulumi.ResourceOptions | None, *names: str) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(additional_secret_outputs=list(names))
    )

"""The settings of the ``existing`` target: a list of hosts. Independent of Pulumi."""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from infra.project import ROOT
from infra.settings import values
from infra.settings.model import Settings
from infra.settings.problem import Problem, invalid, missing, unused
from infra.settings.secrets import OPERATOR_KEY
from infra.settings.types import Boolean, Port
from infra.stack.yaml_values import as_object, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ACCEPT_ONCE = "accept-once"
"""Value instead of a host key: accept the key of the first connection, and no other from then
on."""

MAX_MANAGERS = 7
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
_HOW_TO_READ_KEY = "ssh-ed25519 AAAA…, as `ssh-keyscan -t ed25519 HOST` prints it after the name"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*)PRIVATE KEY-----(?P<body>.*)-----END (?P=kind)PRIVATE KEY-----",
    re.DOTALL,
)
_OWN_KEYS = (
    "The hosts have your own key: add another one to their authorized_keys, set privateKeyFile to"
    " it, and remove the former one after `pulumi up`."
)
_OPENSSH_UNENCRYPTED = b"openssh-key-v1\0\0\0\0\4none"


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        msg = "lower-case letters, digits and hyphens, as in a host name, 63 at most"
        raise ValueError(msg)
    return value


def _address(value: str) -> str:
    if _is_ipv4(value) or (_HOST_NAME.fullmatch(value) and not re.fullmatch(r"[\d.]+", value)):
        return value
    msg = "an IPv4 address such as 192.0.2.7, or a host name"
    raise ValueError(msg)


def _ipv4(value: str) -> str:
    if _is_ipv4(value):
        return value
    msg = "an IPv4 address such as 10.0.0.7, by which the other hosts reach this one"
    raise ValueError(msg)


def _is_ipv4(value: str) -> bool:
    try:
        IPv4Address(value)
    except ValueError:
        return False
    return True


def _public_key(value: str) -> str:
    """Return type and key without the comment, checked as far as possible without cryptography."""
    words = value.split()
    if len(words) < 2 or words[0] not in _KEY_TYPES:  # noqa: PLR2004 - type and key
        msg = f"{_HOW_TO_READ_KEY} (types: {', '.join(_KEY_TYPES)})"
        raise ValueError(msg)
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        blob = b""
    kind = words[0].encode()
    if not blob.startswith(len(kind).to_bytes(4) + kind) or len(blob) <= len(kind) + 8:
        msg = f"a whole key: this one is cut off or altered; {_HOW_TO_READ_KEY}"
        raise ValueError(msg)
    return " ".join(words[:2])


def _host_key(value: str) -> str:
    if value == ACCEPT_ONCE:
        return value
    try:
        return _public_key(value)
    except ValueError as error:
        msg = f"{error}; or {ACCEPT_ONCE}"
        raise ValueError(msg) from None


def key_file(value: str) -> Path:
    """Return the absolute path of a key file; a relative path starts at the project's folder."""
    return (ROOT / Path(value).expanduser()).resolve()


def _private_key_file(value: str) -> str:
    path = key_file(value)
    try:
        text = path.read_text(errors="replace")
        mode = path.stat().st_mode
    except OSError as error:
        msg = f"a readable file, relative to the project's folder ({error.strerror})"
        raise ValueError(msg) from None
    found = _PRIVATE_KEY.search(text)
    if found is None:
        msg = "a file with the private half of a key (not .pub)"
        raise ValueError(msg)
    if mode & 0o077:
        msg = "a file that only you can read, or `ssh` rejects it: run `chmod 600` on it"
        raise ValueError(msg)
    if _is_encrypted(found["kind"], found["body"]):
        msg = (
            "a key without a passphrase; this one has one. Generate a key with `ssh-keygen -t"
            " ed25519 -N ''`, and add it to the host's authorized_keys"
        )
        raise ValueError(msg)
    return value


def _is_encrypted(kind: str, body: str) -> bool:
    if kind != "OPENSSH ":
        return "ENCRYPTED" in kind or "ENCRYPTED" in body
    try:
        blob = base64.b64decode("".join(body.split()))
    except binascii.Error:
        return False
    return not blob.startswith(_OPENSSH_UNENCRYPTED)


def _user(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", value):
        msg = "the name of a user"
        raise ValueError(msg)
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    wrong = [
        key
        for key in value
        if key.startswith("dairflow.") or not re.fullmatch(r"[A-Za-z0-9]([\w.-]*\w)?", key)
    ]
    if wrong:
        msg = f"other keys than {', '.join(wrong)} (letters, digits, . _ -; dairflow.… is reserved)"
        raise ValueError(msg)
    return value


class Access(BaseModel):
    """Address and login of a host. Field aliases are the keys of the settings.

    ``pulumi config set --path`` stores a text of digits as a number.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, coerce_numbers_to_str=True
    )

    address: Annotated[str, AfterValidator(_address)]
    port: Port = 22
    user: Annotated[str, AfterValidator(_user)] = "root"
    private_key_file: Annotated[
        Annotated[str, AfterValidator(_private_key_file)] | None, Field(alias="privateKeyFile")
    ] = None
    password: Annotated[str | None, Field(min_length=1, repr=False)] = None


class Jump(Access):
    """A jump host on the way to another host. Without a login, it uses that host's."""

    host_key: Annotated[str, AfterValidator(_public_key), Field(alias="hostKey")]


class Host(Access):
    """A host that becomes a node. ``password`` is for SSH without a key, and for sudo."""

    name: Annotated[str, AfterValidator(_name)]
    role: Literal["manager", "worker"]
    host_key: Annotated[str, AfterValidator(_host_key), Field(alias="hostKey")]
    given_private_address: Annotated[
        Annotated[str, AfterValidator(_ipv4)] | None, Field(alias="privateAddress")
    ] = None
    jump: Jump | None = None
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = {}

    @property
    def private_address(self) -> str:
        """The IPv4 address by which the other hosts reach this one."""
        return self.given_private_address or self.address


class ExistingSettings(Settings):
    """The settings of a stack with ``target: existing``."""

    hosts: tuple[Host, ...] = ()
    adopt: Boolean = False
    remove_engine: Annotated[Boolean, Field(alias="removeEngine")] = False


def conflicts(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Report conflicts between hosts; the model checks each host by itself."""
    rotations = raw.get("rotateSecrets")
    if is_object(rotations) and OPERATOR_KEY in as_object(rotations):
        yield unused(f"rotateSecrets.{OPERATOR_KEY}", _OWN_KEYS)
    hosts = _hosts(raw)
    if hosts is None:
        return  # the model reports that it is not a list
    if not hosts:
        yield missing("hosts", "a list of hosts: target existing does not create machines")
        return
    yield from _duplicates(hosts)
    for index, host in enumerate(hosts):
        yield from _of_one(f"hosts[{index}]", host)
    roles = [host.get("role") for host in hosts]
    managers, workers = roles.count("manager"), roles.count("worker")
    if not managers:
        yield _wrong_roles("no host is a manager", "one host with the role manager, or 3")
    elif managers % 2 == 0 or managers > MAX_MANAGERS:
        yield _wrong_roles(
            f"{managers} hosts are managers",
            f"an odd number of managers, {MAX_MANAGERS} at most: a swarm needs a majority of them",
        )
    if not workers:
        yield _wrong_roles("no host is a worker", "at least one host with the role worker")


def _wrong_roles(message: str, valid: str) -> Problem:
    return Problem(path="hosts", message=message, valid=valid)


def nodes(raw: Mapping[str, Any]) -> tuple[int, int]:
    """Return the numbers of managers and workers among the hosts."""
    roles = [host.get("role") for host in _hosts(raw) or ()]
    return roles.count("manager"), roles.count("worker")


def networks(raw: Mapping[str, Any]) -> Iterator[tuple[str, IPv4Network]]:
    """Return the addresses of the hosts."""
    for host in _hosts(raw) or ():
        for key in ("address", "privateAddress"):
            if address := values.network(host.get(key)):
                yield f"the host {host.get('name', '')} is there", address


def _hosts(raw: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the hosts, an empty one for an entry that is not an object; None without a list."""
    given: object = raw.get("hosts") or []
    if not isinstance(given, list | tuple):
        return None
    return [
        cast("dict[str, Any]", host) if isinstance(host, dict) else dict[str, Any]()
        for host in cast("list[Any]", given)
    ]


def _duplicates(hosts: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Report values that two hosts share but must not: name, login address, cluster address."""
    first: dict[tuple[str, str], int] = {}
    for index, host in enumerate(hosts):
        way = f"{host.get('address')}:{host.get('port', 22)} by {host.get('jump')}"
        private = host.get("privateAddress") or host.get("address")
        for key, unique in (
            ("name", host.get("name")),
            ("address", way if "address" in host else None),
            ("privateAddress", private if "privateAddress" in host or "jump" in host else None),
        ):
            if unique is None:
                continue
            other = first.setdefault((key, str(unique)), index)
            if other != index:
                valid = f"a value other than that of hosts[{other}]"
                yield invalid(f"hosts[{index}].{key}", host.get(key), valid)


def _of_one(path: str, host: Mapping[str, Any]) -> Iterator[Problem]:
    address, private = host.get("address"), host.get("privateAddress")
    if isinstance(address, str) and private is None and not _is_ipv4(address):
        yield missing(
            f"{path}.privateAddress",
            "the host's own IPv4 address, because its address is a name",
        )
    if host.get("privateKeyFile") is None and host.get("password") is None:
        secret = f"pulumi config set --secret --path '{path}.password'"
        valid = f"the file of the key to log in with; or a password, set by `{secret}`"
        yield missing(f"{path}.privateKeyFile", valid)

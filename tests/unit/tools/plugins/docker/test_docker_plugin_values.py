"""Secrets and unknowns on the wire, differences, and what is kept out of lines."""

import base64
from typing import Any

import pytest
from docker_stand_in.difference import Change, changes
from docker_stand_in.image import SAVED_INPUTS, Image
from docker_stand_in.inputs import registry_of
from docker_stand_in.journal import Journal
from docker_stand_in.progress import Transcript
from docker_stand_in.push import reported_digest
from docker_stand_in.values import (
    UNKNOWN,
    Secret,
    Value,
    decode,
    encode,
    has_unknown,
    is_secret_at,
    plain,
    secret_texts,
)

PROPERTIES = {
    "text": "a",
    "flag": True,
    "list": ["a", Secret("b")],
    "object": {"hidden": Secret({"deep": "c"}), "later": UNKNOWN},
}


def test_the_wire_keeps_secrets_and_unknowns() -> None:
    assert decode(encode(PROPERTIES)) == PROPERTIES


def test_opening_leaves_no_secret_and_finds_every_text() -> None:
    assert plain(PROPERTIES)["object"] == {"hidden": {"deep": "c"}, "later": UNKNOWN}
    assert secret_texts(PROPERTIES) == {"b", "c"}
    assert has_unknown(PROPERTIES)
    assert not has_unknown(PROPERTIES["list"])


def test_a_value_is_secret_with_what_it_lies_in() -> None:
    inputs = {"registry": Secret({"server": "s"}), "build": {"args": {"A": Secret("x")}}}
    assert is_secret_at(inputs, "registry", "server")
    assert is_secret_at(inputs, "build", "args")
    assert not is_secret_at(inputs, "build", "context")


def test_a_secret_never_shows_in_a_repr() -> None:
    assert "hush" not in repr(Secret("hush"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": "1"}, {"a": "1"}, {}),
        ({"a": "1"}, {"a": Secret("1")}, {}),
        ({"a": "1"}, {"a": "2"}, {"a": Change.UPDATED}),
        ({"a": "1"}, {"a": UNKNOWN}, {"a": Change.UPDATED}),
        ({}, {"a": {"b": "1"}}, {"a.b": Change.ADDED}),
        ({"a": {"b": "1"}}, {"a": {}}, {"a.b": Change.DELETED}),
        ({"a": {"b-c": "1"}}, {"a": {"b-c": "2"}}, {'a["b-c"]': Change.UPDATED}),
        ({"l": ["1"]}, {"l": ["1", "2"]}, {"l": Change.UPDATED}),
        ({"registry": {"password": "1"}}, {"registry": {"password": "2", "username": "u"}}, {}),
        (
            {"registry": {"server": "1"}},
            {"registry": {"server": "2"}},
            {"registry.server": Change.UPDATED},
        ),
    ],
)
def test_changes(old: dict[str, Value], new: dict[str, Value], expected: dict[str, Change]) -> None:
    assert changes(old, new) == expected


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000"),
        ("localhost/a", "localhost"),
        ("docker.io/user/a", "docker.io"),
        ("user/a:tag", None),
        ("a:tag", None),
    ],
)
def test_registry_of(image: str, registry: str | None) -> None:
    assert registry_of(image) == registry


def test_secrets_are_taken_out_of_lines_longest_first() -> None:
    report = Journal().of("urn", {"pass", "password", "first line\nsecond line"})
    assert report.mask("password pass") == "[secret] [secret]"
    assert report.mask("> second line") == "> [secret]"


def _field(number: int, content: bytes) -> bytes:
    """Write a protobuf field of text or bytes."""
    return bytes((number << 3 | 2, len(content))) + content


def _trace(content: bytes) -> dict[str, str]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(content).decode()}


def _vertex(name: str, *, error: str = "") -> bytes:
    fields = _field(1, name[:5].encode()) + _field(3, name.encode()) + _field(5, b"\x08\x01")
    return _field(1, fields + (_field(7, error.encode()) if error else b""))


def _log(name: str, text: str) -> bytes:
    return _field(3, _field(1, name[:5].encode()) + _field(4, text.encode()))


def test_output_is_reported_as_whole_lines_with_their_step() -> None:
    lines: list[str] = []
    transcript = Transcript(lines.append)
    one, two = "[1/2] RUN x", "[2/2] RUN y"
    parts = [
        *(_vertex("[internal] load remote build context"), _vertex(one), _vertex(two)),
        *(_log(one, "se"), _log(two, "other\n"), _log(one, "cret\r\nlast\n")),
    ]
    for part in parts:
        transcript.add(_trace(part))
    assert lines == [one, two, "[2/2] other", "[1/2] secret", "[1/2] last"]
    assert transcript.failed_step == ""
    transcript.add(_trace(_vertex(two, error="context canceled") + _vertex(one, error="code: 3")))
    assert transcript.failed_step == one
    assert transcript.tail == ["secret", "last"]


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        ({"status": f"dev: digest: sha256:{'a' * 64} size: 1839"}, f"sha256:{'a' * 64}"),
        ({"status": "Pushed", "id": "379faa7f8313"}, ""),
        ({"aux": {"Tag": "dev"}}, ""),
    ],
)
def test_a_pushs_digest_is_in_its_last_line_with_either_image_store(
    message: dict[str, Any], digest: str
) -> None:
    assert reported_digest(message) == digest


def test_outputs_are_secret_exactly_if_their_inputs_are() -> None:
    image = Image(
        inputs={
            "imageName": Secret("127.0.0.1:5000/it:dev"),
            "build": {"context": ".", "dockerfile": "Dockerfile", "args": {"A": Secret("x")}},
            "registry": Secret({"server": "127.0.0.1:5000", "password": "hush"}),
        }
    )
    outputs = image.outputs("127.0.0.1:5000/it@sha256:00")
    secret = {key for key, value in outputs.items() if isinstance(value, Secret)}
    assert secret == {"imageName", "baseImageName", "repoDigest", "registryServer", SAVED_INPUTS}
    assert outputs["context"] == "."


@pytest.mark.parametrize(
    ("registry", "account", "half"),
    [
        ({"username": "u", "password": Secret("p")}, ("u", "p", "127.0.0.1:5000"), None),
        ({"username": "u", "password": "p", "server": "s"}, ("u", "p", "s"), None),
        ({"username": "u"}, None, "username"),
        ({"password": Secret("p")}, None, "password"),
        ({}, None, None),
    ],
)
def test_login(
    registry: dict[str, Value], account: tuple[str, str, str] | None, half: str | None
) -> None:
    image = Image(inputs={"imageName": "127.0.0.1:5000/it:dev", "registry": registry})
    given = image.login()
    assert (given and (given.username, given.password, given.server)) == account
    assert "password" not in repr(given)
    assert image.half_login() == half

"""Whatever the compose file is: rendered as the swarm takes it, or refused by name."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.stack import compose_keys as keys
from infra.stack import compose_yaml
from infra.stack.compose_keys import Section
from infra.stack.errors import StackError
from infra.stack.options import StackOptions
from infra.stack.own_files import read_own_files
from infra.stack.render import prepared, render
from infra.stack.secrets import SECRET_NAMES
from tests.unit.stack.conftest import DIGEST, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.stack.shapes import Shape

Compose = dict[str, Any]

COMPOSE_TEXT = (REPOSITORY / "docker-compose.yaml").read_text()
COMPOSE: Compose = yaml.safe_load(COMPOSE_TEXT)
SCHEMA: Any = jsonschema.Draft7Validator(
    json.loads(Path(__file__).with_name("stack_schema.json").read_text())
)
QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
OPTIONS = StackOptions(
    images={
        kind: f"10.0.0.1:5000/{kind}@{DIGEST}" for kind in ("airflow", "postgres", "redis", "web")
    },
    worker_nodes=2,
    base_url="http://10.0.0.1:8080",
    secrets={name: f"value-of-{name}" for name in SECRET_NAMES},
    own_secrets={"token": "x"},
    configs={"page": "x"},
)
BY_DIGEST = {"image": f"registry.example.com/web@{DIGEST}"}
DECLARED: Compose = {
    "networks": {"front": None},
    "volumes": {"data": None},
    "secrets": {"token": {"file": "./token"}, "theirs": {"external": True}},
    "configs": {"page": {"content": "hello"}},
}

PLAUSIBLE: list[Any] = [
    *("0", "1", "0.5", "2k", "64m", "1g", "1048576", "30s", "1h30m", "0s", "true", "no", "-1"),
    *("always", "no", "on-failure", "on-failure:3", "any", "none", "start-first", "stop-first"),
    *("pause", "continue", "rollback", "rslave", "default", "overlay", "local", "json-file"),
    *("loki:latest", "SIGTERM", "15", "RTMIN+3", "/srv", "/srv/data", "some text", "a $$ sign"),
    *("data", "front", "a-name", "NET_ADMIN", "192.0.2.7", "2001:db8::1", "example.com", "0440"),
    *("10.200.0.0/24", "1000:1000", "tcp", "host", "dnsrr", "replicated", "KEY=VALUE"),
    *(0, 1, 3, 288, 0.5, 2.0, 512_000_000, True, False),
    BY_DIGEST["image"],
    *([], {}, ["a"], ["a", "b"], ["ALL"], ["NET_ADMIN", "CAP_CHOWN"], ["KEY=VALUE", "OTHER="]),
    *(["CMD", "true"], ["CMD-SHELL", "true"], ["NONE"], ["192.0.2.7"], ["example.com"]),
    *(["node.role == worker", "node.labels.gpu!=true"], [{"spread": "node.labels.zone"}]),
    [{"discrete_resource_spec": {"kind": "gpu", "value": "2"}}],
    *({"A": 1, "B": None}, {"nofile": 1024, "core": {"soft": 0, "hard": -1}}),
    *({"net.core.somaxconn": 1024}, ["net.ipv4.tcp_syncookies=1"]),
    *({"name": "192.0.2.7"}, ["name:192.0.2.7", "other=[2001:db8::1]"]),
    *(["default"], ["front"], {"front": {"aliases": ["a"]}, "default": None}),
]
"""Values of which each shape takes some."""

NESTED: dict[str, Section] = {
    "deploy": keys.DEPLOY,
    "healthcheck": keys.HEALTH_CHECK,
    "logging": keys.LOGGING,
    "placement": keys.PLACEMENT,
    "resources": keys.RESOURCES,
    "limits": keys.LIMITS,
    "reservations": keys.RESERVATIONS,
    "restart_policy": keys.RESTART_POLICY,
    "rollback_config": keys.ROLLBACK_CONFIG,
    "update_config": keys.UPDATE_CONFIG,
}
LISTS: dict[str, list[Any]] = {
    "volumes": [
        "data:/data",
        "/srv:/srv:ro,rslave",
        "/anonymous",
        {"type": "volume", "source": "data", "target": "/v", "volume": {"nocopy": True}},
        {"type": "bind", "source": "/srv", "target": "/b", "bind": {"propagation": "shared"}},
        {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1m"}, "read_only": "yes"},
    ],
    "ports": ["81:80", "127.0.0.1:82:80/udp", {"target": 80, "published": "83", "mode": None}],
    "secrets": ["token", {"source": "theirs", "target": "/t", "mode": "0440", "uid": "1"}],
    "configs": ["page", {"source": "page", "target": "/etc/page", "mode": None}],
}


def sections() -> list[Section]:
    return [value for value in vars(keys).values() if isinstance(value, Section)]


def fitting(shape: Shape) -> list[Any]:
    return [value for value in PLAUSIBLE if shape.fits(value)]


def single_entries(section: Section) -> Iterator[Compose]:
    """Yield objects of one key each: every key, with every plausible value that fits it."""
    for key, shape in section.taken.items():
        if key in LISTS and section is keys.SERVICE:
            yield from ({key: [entry]} for entry in LISTS[key])
        elif key in NESTED:
            yield from ({key: inner} for inner in single_entries(NESTED[key]))
        else:
            yield from ({key: value} for value in fitting(shape))


def site(service: Compose) -> Compose:
    return {**DECLARED, "services": {"site": {**BY_DIGEST, **service}}}


def test_every_shape_has_a_plausible_value() -> None:
    for section in sections():
        for key, shape in section.taken.items():
            assert fitting(shape), key


def test_the_project_own_stack_is_what_the_swarm_takes() -> None:
    SCHEMA.check_schema(SCHEMA.schema)
    SCHEMA.validate(render(COMPOSE, OPTIONS).document)


def test_what_fits_a_shape_is_what_the_swarm_takes() -> None:
    """Every value alone; what is refused is refused for what a shape does not have."""
    rendered: set[str] = set()
    for service in single_entries(keys.SERVICE):
        try:
            SCHEMA.validate(render(site(service), OPTIONS).document)
        except StackError:
            continue
        rendered.add(next(iter(service)))
    assert rendered == set(keys.SERVICE.taken)


ODD: list[Any] = [
    *("", "²", "٣", "\0", "\ud800", "$", "${X}", "9" * 5_000, "host-gateway", "./here", "a:b:c:d"),
    *(-1, 10**5_000, 2**63, 1e308, float("inf"), float("nan"), None, True),
    *([], {}, [[]], [{}], [None], {"x": []}, {"": ""}, {1: 2}, {None: None}, {"x-a": 1}),
    *(dt.date(2026, 1, 1), b"bytes", {1, 2}, (1, 2), object()),
]
TEXTS = st.text(max_size=8)
JUNK = st.one_of(
    st.sampled_from(PLAUSIBLE),
    st.sampled_from(ODD),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
).map(copy.deepcopy)


def objects(section: Section) -> st.SearchStrategy[Compose]:
    """Make objects of a few of a section's keys, each with a value that fits."""
    optional = {
        key: objects(NESTED[key])
        if key in NESTED
        else st.lists(st.sampled_from(LISTS[key]).map(copy.deepcopy), max_size=2)
        if key in LISTS and section is keys.SERVICE
        else st.sampled_from(fitting(shape)).map(copy.deepcopy)
        for key, shape in section.taken.items()
    }
    few = st.lists(st.sampled_from(sorted(optional)), max_size=5, unique=True)
    return few.flatmap(lambda chosen: st.fixed_dictionaries({key: optional[key] for key in chosen}))


SERVICES = objects(keys.SERVICE)
DECLARATIONS = st.fixed_dictionaries(
    {
        kind: st.dictionaries(
            st.sampled_from(["data", "front", "default", "other"]), objects(section), max_size=1
        )
        for kind, section in (
            ("networks", keys.NETWORK),
            ("volumes", keys.VOLUME),
        )
    }
)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Make a compose file of what fits, and change some of it to anything."""
    service: Compose = {**BY_DIGEST, **draw(SERVICES)}
    if draw(st.booleans()):
        service |= {"command": "worker", "secrets": ["redis_password"]}
    made = copy.deepcopy(
        {
            **DECLARED,
            **{kind: {**DECLARED[kind], **entries} for kind, entries in draw(DECLARATIONS).items()},
            "services": {draw(st.sampled_from(["site", "worker"])): service},
        }
    )
    made["secrets"]["redis_password"] = {"file": "./redis_password"}
    for _ in range(draw(st.integers(0, 2))):
        made = mutated(draw, made)
    return made


def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Replace one part of a value, or add a key to it, or take one away."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return draw(JUNK)
    places = sorted(value, key=repr) if isinstance(value, dict) else range(len(value))
    place = draw(st.sampled_from(places))
    match draw(st.integers(0, 9)):
        case 0:
            del value[place]
        case 1 if isinstance(value, dict):
            value[draw(st.one_of(st.sampled_from(sorted(keys.SERVICE.keys)), TEXTS))] = draw(JUNK)
        case _:
            value[place] = mutated(draw, value[place])
    return value


@QUICK
@given(documents())
def test_a_document_is_rendered_as_the_swarm_takes_it_or_refused_by_name(document: Any) -> None:
    try:
        rendered = render(document, OPTIONS)
    except StackError as error:
        refusal = str(error)
    else:
        refusal = ""
        SCHEMA.validate(json.loads(rendered.to_bytes(dt.datetime.now(dt.UTC))))
    helps = ("valid: ", "cannot be used", "did you mean", "Next")
    assert not refusal or any(help_ in refusal for help_ in helps), refusal


@QUICK
@given(documents(), st.dictionaries(st.sampled_from(["some text", "data"]), TEXTS))
def test_the_files_of_a_document_are_read_or_refused(
    document: Any, environment: dict[str, str]
) -> None:
    ready = prepared(document, replace(OPTIONS, secrets={}))
    read_own_files(ready.source, Path("/nowhere"), environment)


@QUICK
@given(st.data())
def test_a_changed_text_is_rendered_or_refused(data: st.DataObject) -> None:
    text = COMPOSE_TEXT
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 5, 40, 200]))
        piece = data.draw(st.one_of(st.text("\n -:{}[]&*!<>'\"$#", max_size=6), TEXTS))
        text = text[:place] + piece + text[place + length :]
    try:
        document = compose_yaml.load(text)
    except yaml.YAMLError:
        return
    if isinstance(document, dict):
        with contextlib.suppress(StackError):
            SCHEMA.validate(render(document, OPTIONS).document)

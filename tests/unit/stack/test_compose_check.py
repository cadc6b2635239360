"""What a user may write in the compose file: rendered for the swarm, or refused by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra.stack.compose_file import read_compose_file
from infra.stack.errors import StackError
from infra.stack.limits import OWN_SERVICE
from infra.stack.mounts import SHARED_MEMORY
from infra.stack.render import render
from tests.unit.stack.conftest import DIGEST
from tools import image_names
from tools.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path

    from infra.stack.options import StackOptions
    from infra.stack.render import Document

Compose = dict[str, Any]
IMAGE = f"registry.example.com/web@{DIGEST}"
BY_DIGEST = {"image": IMAGE}


def with_web(compose: Compose, text: str, **top: Any) -> Compose:
    """Add a service ``site`` of the user's, of the YAML in ``text``."""
    site = {**BY_DIGEST, **(yaml.safe_load(text) or {})}
    merged = {key: {**compose.get(key, {}), **value} for key, value in top.items()}
    return {**compose, **merged, "services": {**compose["services"], "site": site}}


def rendered_web(compose: Compose, options: StackOptions, text: str, **top: Any) -> Document:
    return render(with_web(compose, text, **top), options).document["services"]["site"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network_mode: host", "network_mode: it cannot be used"),
        ("links: [redis]", "links: it cannot be used"),
        ("privileged: true", "privileged: it cannot be used"),
        ("devices: [/dev/kvm]", "devices: it cannot be used"),
        ("gpus: all", "gpus: it cannot be used"),
        ("env_file: .env", "env_file: it cannot be used"),
        ("extends: {service: redis}", "extends: it cannot be used"),
        ("security_opt: [seccomp=unconfined]", "security_opt: it cannot be used"),
        ("platform: linux/arm64", "node.platform.arch"),
        ("post_start: [{command: ls}]", "post_start: it cannot be used"),
        ("cpu_shares: 5", "deploy.resources.limits.cpus"),
        ("memswap_limit: 1g", "deploy.resources.limits.memory"),
        ("imagee: x", "imagee: Compose has no such key; did you mean image"),
        ("image: redis:7", "image: 'redis:7' given; valid: NAME@sha256:"),
        ("{image: null, build: .}", "image: no image given; valid: NAME@sha256:"),
        ("user: 1000", "user: 1000 given; valid: a text"),
        ("stop_grace_period: soon", "stop_grace_period: 'soon' given; valid: a duration"),
        (
            "{command: worker, secrets: [redis_password], stop_grace_period: 20m}",
            "stop_grace_period: '20m' given; valid: up to 900s",
        ),
        ("mem_limit: much", "mem_limit: 'much' given; valid: a size"),
        ("environment: [HOME]", "environment.HOME: a value is missing"),
        ("environment: {HOME: }", "environment.HOME: a value is missing"),
        ("environment: {A: $HOME}", r"environment.A: valid: ${NAME}"),
        ("environment: {A: '${NOT_SET}'}", r"environment.A: NOT_SET has no value on the swarm"),
        ("ports: ['8000-8001:80-81']", "ports[0]: '8000-8001:80-81' given; valid: [ADDRESS:]"),
        ("ports: [80]", "ports[0]: 80 given; valid: [ADDRESS:]PUBLISHED:TARGET"),
        ("ports: ['192.0.2.7:80:80']", "ports[0]: '192.0.2.7:80:80' given"),
        ("ports: [{target: 80, published: 80, mode: ingress}]", "ports[0]"),
        ("ports: ['8080:80']", "another published port: 8080 is web's"),
        ("ports: ['2377:80']", "another published port: 2377 is swarm's"),
        ("volumes: ['./conf:/etc/web']", "volumes[0]: './conf' given; valid: a volume, or an"),
        (
            "volumes: ['data:/data']",
            "volumes[0]: 'data' given; valid: backups, dumps, logs, postgres, postgres-run, redis",
        ),
        ("volumes: [{type: image, source: x, target: /x}]", "volumes[0].type: 'image' given"),
        (
            "volumes: [{type: volume, source: logs, target: /x, volume: {subpath: a}}]",
            "volumes[0].volume.subpath: it cannot be used",
        ),
        ("tmpfs: '/tmp:mode=755'", "tmpfs: '/tmp:mode=755' given; valid: PATH"),
        ("secrets: [mine]", "secrets: 'mine' given; valid: admin_password"),
        ("configs: [mine]", "configs: 'mine' given; valid: nothing, which configs declares"),
        ("networks: [front]", "networks: 'front' given; valid: default"),
        ("networks: {default: {ipv4_address: 10.0.0.9}}", "networks.default.ipv4_address"),
        ("extra_hosts: ['host:host-gateway']", "extra_hosts: 'host-gateway' given"),
        ("deploy: {mode: replicated-job}", "deploy.mode: 'replicated-job' given"),
        ("deploy: {endpoint_mode: vip}", "deploy.endpoint_mode: 'vip' given; valid: dnsrr"),
        ("deploy: {resources: {limits: {memory: x}}}", "deploy.resources.limits.memory: 'x'"),
        (
            "deploy: {resources: {reservations: {devices: []}}}",
            "deploy.resources.reservations.devices: it cannot be used",
        ),
        (
            "{ports: ['81:81'], deploy: {update_config: {order: start-first}}}",
            "deploy.update_config.order: 'start-first' given; valid: stop-first",
        ),
        ("healthcheck: {tests: x}", "healthcheck.tests: Compose has no such key; did you mean"),
        ("restart: allways", "restart: 'allways' given; valid: no, always, unless-stopped"),
        ("restart: on-failure:abc", "restart: 'on-failure:abc' given; valid: no, always"),
        (
            "secrets: [{source: redis_password, mode: abc}]",
            "secrets[0].mode: 'abc' given; valid: permissions",
        ),
        ("secrets: [{target: x}]", "secrets[0]: an object given; valid: a name that secrets"),
        (
            "secrets: [redis_password, {source: redis_password, uid: '0'}]",
            "secrets[1]: '/run/secrets/redis_password' given; valid: another target",
        ),
        ("secrets: [{source: redis_password, uid: me}]", "secrets[0].uid: 'me' given; valid: a"),
        ("healthcheck: {test: []}", "healthcheck.test: a list given; valid: [CMD, PROGRAM, …]"),
        ("healthcheck: {test: [echo]}", "healthcheck.test: a list given; valid: [CMD, PROGRAM"),
        ("healthcheck: {interval: 1us}", "healthcheck.interval: '1us' given; valid: a duration"),
        (
            "deploy: {restart_policy: {condition: sometimes}}",
            "deploy.restart_policy.condition: 'sometimes' given; valid: any, on-failure, none",
        ),
        (
            "deploy: {update_config: {order: start_first}}",
            "deploy.update_config.order: 'start_first' given; valid: stop-first, start-first",
        ),
        (
            "deploy: {update_config: {failure_action: explode}}",
            "update_config.failure_action: 'explode' given; valid: pause, continue, rollback",
        ),
        (
            "deploy: {rollback_config: {failure_action: rollback}}",
            "rollback_config.failure_action: 'rollback' given; valid: pause, continue",
        ),
        (
            "deploy: {update_config: {max_failure_ratio: 2}}",
            "update_config.max_failure_ratio: 2 given; valid: a number from 0 to 1",
        ),
        (
            "deploy: {placement: {constraints: ['node.role = manager']}}",
            "placement.constraints[0]: 'node.role = manager' given; valid: KEY == VALUE",
        ),
        (
            "deploy: {placement: {constraints: ['node.rol == manager']}}",
            "placement.constraints[0]: 'node.rol == manager' given; valid: KEY == VALUE",
        ),
        (
            "deploy: {placement: {preferences: [spread]}}",
            "placement.preferences[0]: 'spread' given; valid: {spread: node.labels.NAME}",
        ),
        (
            "deploy: {resources: {reservations: {generic_resources: [gpu]}}}",
            "generic_resources[0]: 'gpu' given; valid: {discrete_resource_spec: {kind: NAME,",
        ),
        (
            "deploy: {mode: global, replicas: 3}",
            "deploy.replicas: 3 given; it cannot be used with mode global",
        ),
        ("{scale: 3, deploy: {mode: global}}", "scale: 3 given; it cannot be used with mode glo"),
        ("{scale: 3, deploy: {replicas: 2}}", "scale: 3 given; valid: one of the two: deploy.rep"),
        (
            "{mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}",
            "mem_limit: '1g' given; valid: one of the two: deploy.resources.limits.memory is '2g'",
        ),
        ("scale: ²", "scale: '²' given; valid: a whole number"),
        ("scale: '99999999999'", "scale: '99999999999' given; valid: a whole number"),
        ("ulimits: {nofile: abc}", "ulimits.nofile: 'abc' given; valid: a number, or {soft"),
        ("ulimits: {nofile: {soft: 1}}", "ulimits.nofile: an object given; valid: a number, or"),
        ("ulimits: {files: 1}", "ulimits: an object given; valid: an object of core, cpu,"),
        ("mem_limit: 1", "mem_limit: 1 given; valid: a size from 6m on"),
        ("mem_limit: 5m", "mem_limit: '5m' given; valid: a size from 6m on"),
        ("mem_limit: 512mi", "mem_limit: '512mi' given; valid: a size from 6m on"),
        (
            "mem_reservation: 2g",
            "deploy.resources.reservations.memory: '2g' given; valid: up to the service's limit",
        ),
        ("cpus: .inf", "cpus: a float given; valid: a text, a number of 64 bits"),
        ("cpus: inf", "cpus: 'inf' given; valid: a number such as 0.5"),
        ("cpus: 1e-7", "cpus: '1e-7' given; valid: a number such as 0.5"),
        ("extra_hosts: [a]", "extra_hosts: a list given; valid: an object of IP addresses"),
        ("extra_hosts: {a: b}", "extra_hosts: an object given; valid: an object of IP addresses"),
        ("dns: [one]", "dns: a list given; valid: an IP address"),
        ("cap_add: [NETADMIN]", "cap_add[0]: 'NETADMIN' given; valid: a capability such as"),
        ("cap_drop: [ALL, ALL]", "cap_drop: a list given; valid: a list of capabilities, each"),
        ("sysctls: {net.core.somaxconn: true}", "sysctls: an object given; valid: an object of"),
        ("sysctls: {vm.swappiness: 1}", "sysctls: an object given; valid: an object of those"),
        ("stop_signal: SIGSTOPP", "stop_signal: 'SIGSTOPP' given; valid: a signal such as SIGTERM"),
        ("working_dir: src", "working_dir: 'src' given; valid: an absolute path"),
        ("command: 'say \"hello'", "command: 'say \"hello' given; valid: a list of texts, or"),
        ("profiles: debug", "profiles: 'debug' given; valid: a list of texts"),
        ("logging: {driver: nope}", "logging.driver: 'nope' given; valid: awslogs, fluentd"),
        (
            "logging: {driver: json-file, options: {max_size: 1m}}",
            "logging.options.max_size: valid: compress, env",
        ),
        ("volumes: ['logs:relative']", "volumes[0]: 'logs:relative' given; valid: VOLUME:/TARGET"),
        ("volumes: ['logs:/l:z']", "volumes[0]: 'logs:/l:z' given; valid: VOLUME:/TARGET"),
        ("volumes: ['/l:/l:nocopy']", "volumes[0]: '/l:/l:nocopy' given; valid: VOLUME:/TARGET"),
        (
            "volumes: [{type: bind, target: /t}]",
            "volumes[0].source: nothing given; valid: an absolute path on the nodes",
        ),
        (
            "volumes: [{type: tmpfs, source: logs, target: /t}]",
            "volumes[0].source: 'logs' given; it cannot be used with type tmpfs",
        ),
        (
            "volumes: [{type: volume, source: logs, target: /t, tmpfs: {size: 1m}}]",
            "volumes[0].tmpfs: it cannot be used with type volume",
        ),
        ("volumes: ['logs:/l', '/srv:/l/']", "volumes[1]: '/l/' given; valid: another target"),
        ("{tmpfs: /dev/shm, shm_size: 1m}", "shm_size: '/dev/shm' given; valid: another target"),
        ("volumes: [{type: [bind], target: /t}]", "volumes[0].type: a list given; valid: bind,"),
        (
            "ports: [{target: 80, published: 80, host_ip: []}]",
            "ports[0].host_ip: a list given; valid: a text",
        ),
        ("networks: [[front]]", "networks: a list given; valid: a list of networks"),
        ("environment: {1: a}", "environment: the key 1 given; valid: keys that are texts"),
        ("environment: {A: 2026-01-01}", "environment.A: a date given; valid: a text, a number"),
        ('environment: {A: "\\0"}', "environment.A: a str given; valid: a text, a number"),
        ("environment: ['=a']", "environment: a list given; valid: an object of texts"),
        ("image: 'no such@sha256:" + "ab" * 32 + "'", "valid: NAME@sha256:"),
    ],
)
def test_what_a_swarm_cannot_do_is_refused_by_name(
    compose: Compose, options: StackOptions, text: str, expected: str
) -> None:
    with pytest.raises(StackError) as caught:
        render(with_web(compose, text), options)
    lines = [line for line in str(caught.value).splitlines() if "services.site." in line]
    assert len(lines) == 1, str(caught.value)
    assert expected in lines[0]


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"include": [{"path": "x"}]}, "include: it cannot be used"),
        ({"x": 1}, "  x: Compose has no such key"),
        ({"networks": {"front": {"driver": "bridge"}}}, "networks.front.driver: 'bridge' given"),
        ({"networks": {"front": {"enable_ipv6": True}}}, "networks.front.enable_ipv6"),
        (
            {"networks": {"front": {"ipam": {"config": [{"gateway": "10.9.0.1"}]}}}},
            "networks.front.ipam.config[0].gateway: it cannot be used",
        ),
        ({"secrets": {"mine": {}}}, "secrets.mine: it needs one source"),
        ({"configs": {"mine": {"file": "a", "content": "b"}}}, "configs.mine: it needs one source"),
        ({"secrets": {"mine": {"file": "a", "driver": "vault"}}}, "secrets.mine.driver"),
        ({"secrets": {"mine": {"external": None}}}, "secrets.mine: it needs one source"),
        (
            {"secrets": {"mine": {"file": "a", "name": "bb"}}},
            "secrets.mine.name: it cannot be used",
        ),
        ({"secrets": {"a b": {"file": "a"}}}, "secrets.a b: 'a b' given; valid: a name of letters"),
        (
            {"secrets": {"naming_key": {"file": "a"}}},
            "secrets.naming_key: the name is reserved",
        ),
        (
            {"volumes": {"data": {"external": "yes", "driver": "local"}}},
            "volumes.data.driver: it cannot be used with external: true",
        ),
        ({"networks": {"front": []}}, "networks.front: a list given; valid: an object"),
        ({"services": {"a.b": BY_DIGEST}}, "services.a.b: 'a.b' given; valid: a name of letters"),
        (
            {"networks": {"front": {"ipam": {"config": [{"subnet": "nope"}]}}}},
            "ipam.config[0].subnet: 'nope' given; valid: an IPv4 network such as 10.200.0.0/24",
        ),
        (
            {"networks": {"front": {"ipam": {"config": [None]}}}},
            "ipam.config[0]: None given; valid: {subnet: …}",
        ),
        (
            {"secrets": {"redis_password": {"environment": "X"}}},
            "secrets.redis_password: the name is reserved",
        ),
    ],
)
def test_what_is_declared_wrongly_is_refused_by_name(
    compose: Compose, options: StackOptions, top: Compose, expected: str
) -> None:
    merged = {
        key: {**compose.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in top.items()
    }
    with pytest.raises(StackError) as caught:
        render({**compose, **merged}, options)
    assert expected in str(caught.value)


def test_every_mistake_is_in_one_report(compose: Compose, options: StackOptions) -> None:
    wrong = with_web(compose, "{links: [a], gpus: all, ports: ['2377:1'], environment: {A: $B}}")
    with pytest.raises(StackError) as caught:
        render(wrong, options)
    report = str(caught.value)
    for path in ("site.links", "site.gpus", "site.ports[0]", "site.environment.A"):
        assert f"services.{path}:" in report
    assert "Nothing was created or changed" in report


def test_no_value_of_an_environment_is_in_a_report(compose: Compose, options: StackOptions) -> None:
    with pytest.raises(StackError) as caught:
        render(with_web(compose, "environment: {TOKEN: hunter2$5}"), options)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mem_limit: 512m", {"resources": {"limits": {"memory": "512m"}}}),
        ("mem_limit: 1073741824", {"resources": {"limits": {"memory": "1073741824"}}}),
        ("mem_reservation: 64m", {"resources": {"reservations": {"memory": "64m"}}}),
        ("cpus: 0.5", {"resources": {"limits": {"cpus": "0.5"}}}),
        ("pids_limit: 100", {"resources": {"limits": {"pids": 100}}}),
        (
            "{cpus: 2, deploy: {resources: {limits: {memory: 1g}}}}",
            {"resources": {"limits": {"cpus": "2", "memory": "1g"}}},
        ),
        ("scale: 3", {"replicas": 3}),
        ("restart: 'no'", {"restart_policy": {"condition": "none"}}),
        (
            "restart: on-failure:3",
            {"restart_policy": {"condition": "on-failure", "max_attempts": 3}},
        ),
        ("restart: always", {}),
        ("deploy: {labels: [a=b]}", {"labels": {"a": "b"}}),
    ],
)
def test_what_compose_writes_beside_deploy_is_in_it(
    compose: Compose, options: StackOptions, text: str, expected: Document
) -> None:
    deploy = rendered_web(compose, options, text)["deploy"]
    default = {"endpoint_mode", "update_config"}
    resources: Document = expected.get("resources", {})
    limits = {"memory": OWN_SERVICE, **resources.get("limits", {})}
    assert {key: value for key, value in deploy.items() if key not in default} == {
        **expected,
        "resources": {**resources, "limits": limits},
    }


def test_the_users_update_config_is_kept(compose: Compose, options: StackOptions) -> None:
    text = "deploy: {update_config: {delay: 10s, order: start-first}}"
    update = rendered_web(compose, options, text)["deploy"]["update_config"]
    assert update == {
        "delay": "10s",
        "order": "start-first",
        "parallelism": 1,
        "failure_action": "pause",
        "monitor": "1s",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("volumes: ['logs:/l:ro']", ["logs:/l:ro"]),
        ("volumes: ['/srv/data:/data']", ["/srv/data:/data"]),
        (
            "volumes: [{type: bind, source: /s, target: /t, bind: {create_host_path: true}}]",
            [{"type": "bind", "source": "/s", "target": "/t"}],
        ),
        (
            "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m}}]",
            [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": 1_048_576}}],
        ),
        ("tmpfs: /run", [{"type": "tmpfs", "target": "/run"}]),
        (
            "tmpfs: ['/run:size=64m']",
            [{"type": "tmpfs", "target": "/run", "tmpfs": {"size": 67_108_864}}],
        ),
        (
            "shm_size: 1g",
            [{"type": "tmpfs", "target": SHARED_MEMORY, "tmpfs": {"size": 1_073_741_824}}],
        ),
    ],
)
def test_mounts_in_each_form(
    compose: Compose, options: StackOptions, text: str, expected: list[Any]
) -> None:
    assert rendered_web(compose, options, text)["volumes"] == expected


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ("'3000:80'", "tcp"),
        ("'127.0.0.1:3000:80/udp'", "udp"),
        ("{target: 80, published: '3000', name: page, host_ip: 127.0.0.1}", "tcp"),
    ],
)
def test_ports_in_each_form(
    compose: Compose, options: StackOptions, given: str, protocol: str
) -> None:
    assert rendered_web(compose, options, f"ports: [{given}]")["ports"] == [
        {"target": 80, "published": 3000, "protocol": protocol, "mode": "host"}
    ]


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("environment: [A=b=c, D=1]", "environment", {"A": "b=c", "D": "1"}),
        ("environment: {A: true, B: 2}", "environment", {"A": "true", "B": "2"}),
        ("extra_hosts: {a: 192.0.2.7}", "extra_hosts", ["a:192.0.2.7"]),
        ("extra_hosts: ['a=192.0.2.7']", "extra_hosts", ["a:192.0.2.7"]),
        ("init: 'true'", "init", True),
        ("container_name: page", "networks", {"default": {"aliases": ["page"]}}),
        ("networks: {default: {aliases: [a]}}", "networks", {"default": {"aliases": ["a"]}}),
        ("healthcheck: {disable: true}", "healthcheck", {"disable": True}),
        (
            "logging: {driver: none, options: {a: 1}}",
            "logging",
            {"driver": "none", "options": {"a": "1"}},
        ),
        ("command: sleep 5", "command", "sleep 5"),
        ("{working_dir: /w, x-mine: 1, attach: false, develop: {}}", "working_dir", "/w"),
    ],
)
def test_other_keys_in_each_form(
    compose: Compose, options: StackOptions, text: str, key: str, expected: object
) -> None:
    web = rendered_web(compose, options, text)
    assert web[key] == expected
    assert not {"x-mine", "attach", "develop"} & set(web)


def test_a_log_is_bounded_unless_the_user_sets_it(compose: Compose, options: StackOptions) -> None:
    web = rendered_web(compose, options, "")
    assert web["logging"] == render(compose, options).document["services"]["worker"]["logging"]


def test_a_user_s_check_keeps_its_interval(compose: Compose, options: StackOptions) -> None:
    check = rendered_web(compose, options, "healthcheck: {test: ls, interval: 5m}")["healthcheck"]
    assert check == {"test": "ls", "interval": "5m", "start_interval": "2s"}


def test_a_service_of_a_profile_is_the_laptops(compose: Compose, options: StackOptions) -> None:
    debug = with_web(compose, "{image: tools:latest, profiles: [debug], links: [redis]}")
    with pytest.raises(StackError, match=r"services\.site\.links"):
        render(debug, options)
    debug["services"]["site"].pop("links")
    assert "site" not in render(debug, options).document["services"]


def test_networks_and_volumes_of_the_users(compose: Compose, options: StackOptions) -> None:
    document = render(
        with_web(
            compose,
            "{networks: [front, shared], volumes: ['data:/data']}",
            networks={
                "front": {"internal": True, "driver_opts": {"a": 1}},
                "shared": {"external": True, "name": "other"},
            },
            volumes={"data": {"driver": "local", "driver_opts": {"type": "nfs"}}, "kept": None},
        ),
        options,
    ).document
    mtu = {"com.docker.network.driver.mtu": "1450"}
    assert document["networks"] == {
        "default": {
            "driver": "overlay",
            "driver_opts": mtu,
            "ipam": {"config": [{"subnet": options.subnet}]},
        },
        "front": {"internal": True, "driver": "overlay", "driver_opts": {**mtu, "a": "1"}},
        "shared": {"external": True, "name": "other"},
    }
    assert document["volumes"]["data"] == {"driver": "local", "driver_opts": {"type": "nfs"}}
    assert document["volumes"]["kept"] == {}


@pytest.mark.parametrize("command", [["worker", "-q", "gpu"], "worker -q gpu"])
def test_a_second_worker_service_is_one(
    compose: Compose, options: StackOptions, command: str | list[str]
) -> None:
    gpu = {**compose["services"]["worker"], "command": command, "deploy": {}}
    gpu.pop("stop_grace_period")
    services = render(
        {**compose, "services": {**compose["services"], "worker_gpu": gpu}},
        replace(options, worker_nodes=3, workers_per_node=2, memory_limits={"worker": "8g"}),
    ).document["services"]
    assert services["worker_gpu"]["hostname"] == "{{.Node.Hostname}}-worker-gpu-{{.Task.Slot}}"
    assert services["worker_gpu"]["stop_grace_period"] == "900s"
    gpu, ours = services["worker_gpu"]["deploy"], services["worker"]["deploy"]
    assert gpu.pop("resources") == {"limits": {"memory": "8g"}}
    assert gpu == {key: value for key, value in ours.items() if key != "resources"}


def test_a_second_worker_service_may_be_elsewhere(compose: Compose, options: StackOptions) -> None:
    placement = {"constraints": ["node.labels.gpu == true"]}
    deploy = {"replicas": 1, "placement": placement}
    gpu = {**compose["services"]["worker"], "command": ["worker"], "deploy": deploy}
    compose["services"]["gpu"] = gpu
    rendered = render(compose, options).document["services"]["gpu"]["deploy"]
    assert rendered["replicas"] == 1
    assert rendered["placement"] == {**placement, "max_replicas_per_node": 1}


def test_a_second_worker_service_may_be_on_every_node(
    compose: Compose, options: StackOptions
) -> None:
    deploy = {"mode": "global"}
    compose["services"]["every"] = {**compose["services"]["worker"], "deploy": deploy}
    given = replace(options, workers_per_node=2)
    every = render(compose, given).document["services"]["every"]
    assert every["hostname"] == "{{.Node.Hostname}}-every"
    assert "replicas" not in every["deploy"]
    assert "placement" not in every["deploy"]


def test_the_shortest_grace_of_tasks_does_not_bound_other_services(
    compose: Compose, options: StackOptions
) -> None:
    services = render(compose, replace(options, task_grace_seconds=10)).document["services"]
    assert services["postgres"]["stop_grace_period"] == "60s"


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (r"deploy\.replicas", {"deploy": {"replicas": 9}}),
        (r"deploy\.mode", {"deploy": {"mode": "global"}}),
        ("scale", {"scale": 9}),
    ],
)
def test_the_workers_number_is_the_settings(
    compose: Compose, options: StackOptions, place: str, change: Compose
) -> None:
    compose["services"]["worker"] |= change
    with pytest.raises(StackError, match=rf"worker\.{place}: .* given; .*config set workers"):
        render(compose, options)


@pytest.mark.parametrize("text", ["text", "[1]", "5", "[]"])
def test_a_service_that_is_not_a_mapping_is_refused_by_name(
    compose: Compose, options: StackOptions, text: str
) -> None:
    compose["services"]["site"] = yaml.safe_load(text)
    with pytest.raises(StackError, match=r"services\.site: .* given; valid: an object"):
        render(compose, options)


def test_files_that_compose_alone_reads_are_named(folder: Folder) -> None:
    assert folder.read().laptop_only == ()
    (folder.path / "docker-compose.override.yaml").touch()
    (folder.path / ".env").write_text("# set-up's own\nCOMPOSE_PROJECT_NAME=dairflow-1\n")
    assert folder.read().laptop_only == ("docker-compose.override.yaml",)
    paths = Paths(repository=folder.path, cache=folder.path / "cache")
    for image in image_names.COMPOSE_SETTINGS:
        image_names.record(paths, image, f"dairflow/{image}:0123456789abcdef")
    assert "COMPOSE_PROJECT_NAME=dairflow-1\n" in (folder.path / ".env").read_text()
    assert folder.read().laptop_only == ("docker-compose.override.yaml",)
    for of_a_user in ("DAIRFLOW_WEB_PORT=9", "DAIRFLOW_WEB_IMAGE=mine/web:1"):
        (folder.path / ".env").write_text(f"COMPOSE_PROJECT_NAME=dairflow-1\n{of_a_user}\n")
        assert folder.read().laptop_only == (".env", "docker-compose.override.yaml")


class Folder:
    """A project's folder, with the real compose file and what a user adds to it."""

    def __init__(self, path: Path, compose: Compose, options: StackOptions) -> None:
        self.path, self.compose, self.options = path, compose, options

    def read(self, **environment: str) -> Any:
        (self.path / "docker-compose.yaml").write_text(yaml.safe_dump(self.compose))
        return read_compose_file(self.path, self.options, environment)


@pytest.fixture
def folder(tmp_path: Path, compose: Compose, options: StackOptions) -> Folder:
    return Folder(tmp_path, compose, replace(options, secrets={}))


def test_the_users_secrets_and_configs_reach_the_swarm(
    folder: Folder, options: StackOptions
) -> None:
    (folder.path / "token").write_text("s3cret\nline\n")
    folder.compose = with_web(
        folder.compose,
        "{secrets: [token, {source: old, target: /etc/old, mode: 0o400, uid: '1'}],"
        " configs: [page, {source: theirs, target: /t}]}",
        secrets={"token": {"file": "./token"}, "old": {"external": True, "name": "made-by-hand"}},
        configs={"page": {"content": "hello ${X:-you}"}, "theirs": {"environment": "THEIRS"}},
    )
    read = folder.read(THEIRS="42")
    assert read.own.secrets == {"token": "s3cret\nline\n"}
    assert read.own.configs == {"page": "hello you", "theirs": "42"}
    rendered = render(
        read.content, replace(options, own_secrets=read.own.secrets, configs=read.own.configs)
    )
    web, document = rendered.document["services"]["site"], rendered.document
    assert web["secrets"] == [
        {"source": "token", "target": "token", "mode": 0o444},
        {"source": "old", "target": "/etc/old", "mode": 0o400, "uid": "1"},
    ]
    assert web["configs"] == [
        {"source": "page", "target": "/page", "mode": 0o444},
        {"source": "theirs", "target": "/t", "mode": 0o444},
    ]
    assert document["secrets"]["token"] == {"external": True, "name": rendered.secrets["token"]}
    assert document["secrets"]["old"] == {"external": True, "name": "made-by-hand"}
    assert document["configs"]["page"] == {"external": True, "name": rendered.configs["page"]}
    assert "s3cret" not in str(rendered)
    assert "old" not in rendered.secrets


def test_what_cannot_be_read_is_named_with_every_other_mistake(folder: Folder) -> None:
    (folder.path / "empty").touch()
    (folder.path / "binary").write_bytes(b"\xff\xfe")
    folder.compose = with_web(
        folder.compose,
        "links: [redis]",
        secrets={
            "lost": {"file": "./nowhere"},
            "empty": {"file": "./empty"},
            "binary": {"file": "./binary"},
            "unset": {"environment": "UNSET"},
        },
    )
    with pytest.raises(StackError) as caught:
        folder.read()
    report = str(caught.value)
    assert "secrets.lost.file: " in report
    assert "it cannot be read: No such file" in report
    assert "secrets.empty: 0 bytes given" in report
    assert "secrets.binary.file: " in report
    assert "secrets.unset.environment: 'UNSET' given" in report
    assert "services.site.links" in report


@pytest.mark.parametrize(
    "text",
    [
        *("services: [", "just text", "a: !reset null", "a: !!int x", "a: !!timestamp x"),
        *("a: &a [*a]", "a: " + "9" * 5_000, "a: [" * 100 + "]" * 100),
        "[" * 100_000,
        "x: {y: {z: [&a0 {k: 1}, "
        + ", ".join(f"&a{n} {{<<: *a{n - 1}}}" for n in range(1, 2_000))
        + "]}}\ns: {<<: *a1999}",
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 9)),
    ],
)
def test_a_file_that_is_not_yaml_is_named(tmp_path: Path, options: StackOptions, text: str) -> None:
    (tmp_path / "docker-compose.yaml").write_text(text)
    with pytest.raises(StackError, match=r"(?s)docker-compose\.yaml .*Next:"):
        read_compose_file(tmp_path, options, {})


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path, options: StackOptions) -> None:
    (tmp_path / "docker-compose.yaml").write_bytes(b"a: \xff")
    with pytest.raises(StackError, match=r"docker-compose\.yaml is not UTF-8 text\. Next:"):
        read_compose_file(tmp_path, options, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("environment: {A: 1}\n    environment: {B: 2}", "the key environment is there already"),
        ("labels: {a: b, a: c}", "the key a is there already, in line 4"),
        ("<<: *x\n    <<: *x", "the key << is there already, in line 4"),
        ("labels: {[a]: b}", "a key is not a text"),
    ],
)
def test_a_key_that_is_there_twice_is_named_with_its_line(
    tmp_path: Path, options: StackOptions, text: str, message: str
) -> None:
    content = f"x-a: &x {{init: true}}\nservices:\n  site:\n    {text}\n"
    (tmp_path / "docker-compose.yaml").write_text(content)
    with pytest.raises(StackError) as caught:
        read_compose_file(tmp_path, options, {})
    assert message in str(caught.value)
    assert "line " in str(caught.value)


def test_a_merged_key_may_be_set_again(tmp_path: Path, options: StackOptions) -> None:
    content = f"""
x-base: {{inner: &base {{<<: &more {{init: true, user: a}}, user: b}}}}
services:
  site: {{<<: *base, image: "{IMAGE}", user: c}}
"""
    (tmp_path / "docker-compose.yaml").write_text(content)
    read = read_compose_file(tmp_path, options, {})
    assert read.content["services"]["site"] == {"init": True, "user": "c", "image": IMAGE}


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("restart: no", "deploy.restart_policy", {"condition": "none"}),
        ("read_only: yes", "read_only", True),
        ("environment: {A: yes, B: 12:30, C: 2026-01-01, D: 1.0, E: 010}", "environment", None),
        ("ports: [3000:22]", "ports.0.published", 3000),
    ],
)
def test_bare_words_mean_what_they_mean_on_the_laptop(
    tmp_path: Path, options: StackOptions, text: str, key: str, expected: object
) -> None:
    content = f"services: {{site: {{image: '{IMAGE}', {text}}}}}"
    (tmp_path / "docker-compose.yaml").write_text(content)
    read = read_compose_file(tmp_path, options, {})
    value: Any = render(read.content, options).document["services"]["site"]
    for part in key.split("."):
        value = value[int(part) if part.isdecimal() else part]
    assert value == (expected or {"A": "yes", "B": "12:30", "C": "2026-01-01", "D": "1", "E": "8"})


def test_a_variable_that_is_not_text_is_named(folder: Folder) -> None:
    folder.compose = with_web(folder.compose, "", secrets={"mine": {"environment": "MINE"}})
    with pytest.raises(StackError, match=r"secrets\.mine\.environment: valid: .*UTF-8"):
        folder.read(MINE="\udcff")


def test_a_home_that_does_not_exist_is_named(folder: Folder) -> None:
    folder.compose = with_web(
        folder.compose, "", secrets={"mine": {"file": "~no-such-user-here/token"}}
    )
    with pytest.raises(StackError, match=r"secrets\.mine\.file: .*it cannot be read"):
        folder.read()


def test_a_secret_without_a_value_is_named(compose: Compose, options: StackOptions) -> None:
    with pytest.raises(StackError, match=r"mine has no value\. Next:"):
        render(with_web(compose, "", secrets={"mine": {"file": "./mine"}}), options)


def test_every_service_of_the_users_has_a_memory_limit(
    compose: Compose, options: StackOptions
) -> None:
    def memory(text: str, options: StackOptions = options) -> Any:
        return rendered_web(compose, options, text)["deploy"]["resources"]["limits"]["memory"]

    assert memory("") == OWN_SERVICE
    assert memory("deploy: {resources: {reservations: {memory: 64m}}}") == OWN_SERVICE
    assert memory("mem_limit: 2g") == "2g"
    assert memory("deploy: {resources: {limits: {memory: 3g, cpus: 1}}}") == "3g"
    gpu = "deploy: {resources: {reservations: {generic_resources: [%s]}}}"
    gpu %= "{discrete_resource_spec: {kind: gpu, value: 1}}"
    worker = f"command: [worker, -q, gpu]\nsecrets: [redis_password]\n{gpu}"
    assert memory(worker, replace(options, memory_limits={"worker": "8g"})) == "8g"


def test_the_workers_limit_is_there_with_reservations_only(
    compose: Compose, options: StackOptions
) -> None:
    compose["services"]["worker"]["deploy"]["resources"] = {"reservations": {"memory": "256m"}}
    given = replace(options, memory_limits={"worker": "8g"})
    resources = render(compose, given).document["services"]["worker"]["deploy"]["resources"]
    assert resources == {"limits": {"memory": "8g"}, "reservations": {"memory": "256m"}}

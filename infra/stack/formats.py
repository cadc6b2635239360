"""Values of the compose file that have a format of their own, as the engine and the swarm read it.

What is refused here passes through Docker Compose, and then fails on the swarm when the images are
already built: in ``docker stack deploy``, in swarmkit's API, or when a node creates the container.
"""

from __future__ import annotations

import re
import shlex
import signal
from ipaddress import IPv4Network, ip_address
from typing import Any, cast

from infra.stack.quantities import seconds
from infra.stack.shapes import TEXT, TEXTS, WHOLE, Shape, list_of, matching, one_of
from infra.stack.yaml_values import as_list, as_object

_ID = "[0-9]{1,10}"
_DIGEST = "@sha256:[0-9a-f]{64}"
_MAX_MODE = 0o7777
_LEAST_SECONDS = 1e-3
"""What a health check's durations are at least, but for 0, which is the image's (swarmkit's
``validateHealthCheck``)."""

_RESTART = "no, always, unless-stopped, on-failure or on-failure:NUMBER"

RESTART = matching(r"no|always|unless-stopped|on-failure(:[0-9]{1,9})?", _RESTART)
CONDITION = one_of("any", "on-failure", "none")
ORDER = one_of("stop-first", "start-first")
UPDATE_FAILURE = one_of("pause", "continue", "rollback")
ROLLBACK_FAILURE = one_of("pause", "continue")
PROPAGATION = one_of("rprivate", "private", "rshared", "shared", "rslave", "slave")
IPAM_DRIVER = one_of("default")

IMAGE = re.compile(
    r"([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    + _DIGEST
)
SERVICE_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,48}[a-zA-Z0-9])?")
"""A part of a DNS name of 63 characters, with the stack's name before it (swarmkit's
``validateAnnotations``)."""

OBJECT_NAME = re.compile(r"[a-zA-Z0-9._-]{1,50}")
"""A network, a volume, a secret or a config in the compose file (format 3.12)."""

SWARM_NAME = matching(
    r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,199}",
    "two letters or digits or more, with . - and _ between them",
)
FOLDER = matching(r"/[^\0]*", "an absolute path")
FILE_NAME = matching(r"[^\0]+", "a path")
ID = matching(_ID, "a number in quotes, such as '1000'")


def _is_mode(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"(0o?)?[0-7]{1,4}", value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_MODE


def _mode(value: int | str) -> int:
    return int(value.replace("o", ""), 8) if isinstance(value, str) else value


MODE = Shape("permissions such as 0o440, or '0440' in quotes", _is_mode, _mode)


def _is_command(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, list) and all(map(TEXT.fits, cast("list[object]", value)))
    try:
        shlex.split(value)
    except ValueError:
        return False
    return True


COMMAND = Shape("a list of texts, or a text with every quote closed", _is_command)


def _is_check(value: object) -> bool:
    if isinstance(value, str):
        return value.strip() != ""
    words = as_list(value)
    if not words or not all(map(TEXT.fits, words)):
        return False
    return words == ["NONE"] or (words[0] in ("CMD", "CMD-SHELL") and len(words) > 1)


CHECK = Shape("[CMD, PROGRAM, …], [CMD-SHELL, COMMAND], [NONE], or a command as a text", _is_check)


def _is_check_duration(value: object) -> bool:
    length = seconds(value) if isinstance(value, str) else None
    return length is not None and (length == 0 or length >= _LEAST_SECONDS)


CHECK_DURATION = Shape("a duration from 1ms on, such as 30s", _is_check_duration)


def _is_signal(value: object) -> bool:
    if not isinstance(value, str):
        return False
    name = value.upper().removeprefix("SIG")
    found = re.fullmatch(r"RTMIN\+([0-9]{1,2})|RTMAX-([0-9]{1,2})", name)
    if found:
        return int(found[1] or found[2]) < signal.SIGRTMAX - signal.SIGRTMIN
    number = int(name) if re.fullmatch("[0-9]{1,2}", name) else 0
    return f"SIG{name}" in signal.Signals.__members__ or 0 < number <= signal.SIGRTMAX


SIGNAL = Shape("a signal such as SIGTERM", _is_signal)

_PRIVILEGES = (
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN"
    " DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE"
    " MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP"
    " SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT"
    " SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
)
CAPABILITIES = list_of(
    Shape(
        "a capability such as NET_ADMIN, or ALL",
        lambda value: (
            isinstance(value, str) and value.upper().removeprefix("CAP_") in _PRIVILEGES.split()
        ),
    ),
    "capabilities",
)

_KEY = r"node\.(?:id|hostname|ip|role|platform\.(?:os|arch)|labels\.[a-z0-9_.-]+)"
_CONSTRAINT = re.compile(
    rf"\s*(?P<key>{_KEY}|engine\.labels\.[a-z0-9_.-]+)\s*(?:==|!=)"
    r"\s*(?P<value>[a-z0-9:_\s.*()?+\[\]\\^$|/-]+)",
    re.IGNORECASE | re.ASCII,
)


def _is_constraint(value: object) -> bool:
    found = _CONSTRAINT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not found["value"].strip():
        return False
    return found["key"].lower() != "node.role" or found["value"].strip().lower() in (
        "manager",
        "worker",
    )


CONSTRAINTS = list_of(
    Shape(
        "KEY == VALUE or KEY != VALUE, with KEY node.id, node.hostname, node.ip, node.role (manager"
        " or worker), node.platform.os, node.platform.arch, node.labels.NAME or engine.labels.NAME",
        _is_constraint,
    ),
    "constraints",
)


def _is_preference(value: object) -> bool:
    spread = as_object(value).get("spread")
    return (
        as_object(value).keys() == {"spread"}
        and isinstance(spread, str)
        and re.fullmatch(r"(node|engine)\.labels\.[A-Za-z0-9_.-]+", spread) is not None
    )


PREFERENCES = list_of(
    Shape("{spread: node.labels.NAME} or {spread: engine.labels.NAME}", _is_preference),
    "preferences",
)


def _discrete(value: object) -> dict[str, Any]:
    return as_object(as_object(value).get("discrete_resource_spec"))


def _is_generic_resource(value: object) -> bool:
    given = _discrete(value)
    return (
        as_object(value).keys() == {"discrete_resource_spec"}
        and given.keys() == {"kind", "value"}
        and isinstance(given["kind"], str)
        and re.fullmatch(r"[A-Za-z0-9_.-]+", given["kind"]) is not None
        and WHOLE.fits(given["value"])
        and int(given["value"]) > 0
    )


def _generic_resource(value: object) -> dict[str, Any]:
    given = _discrete(value)
    return {"discrete_resource_spec": {"kind": given["kind"], "value": int(given["value"])}}


GENERIC_RESOURCES = list_of(
    Shape(
        "{discrete_resource_spec: {kind: NAME, value: NUMBER}}",
        _is_generic_resource,
        _generic_resource,
    ),
    "generic resources",
)

_ULIMITS = (
    "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending"
    " stack"
)


def _is_limit(value: object) -> bool:
    return value in (-1, "-1") or WHOLE.fits(value)


def _is_ulimit(value: object) -> bool:
    if not isinstance(value, dict):
        return _is_limit(value)
    both = as_object(cast("object", value))
    if both.keys() != {"soft", "hard"} or not all(map(_is_limit, both.values())):
        return False
    soft, hard = int(both["soft"]), int(both["hard"])
    return hard == -1 or 0 <= soft <= hard


def _ulimit(value: Any) -> Any:  # noqa: ANN401 - a number or an object
    if isinstance(value, dict):
        return {name: int(number) for name, number in as_object(cast("object", value)).items()}
    return int(value)


_ULIMIT = Shape("a number, or {soft: NUMBER, hard: NUMBER} with soft not above hard", _is_ulimit)
ULIMITS = Shape(
    f"an object of {_ULIMITS.replace(' ', ', ')}",
    lambda value: (
        isinstance(value, dict)
        and all(
            name in _ULIMITS.split() and _is_ulimit(limit)
            for name, limit in as_object(cast("object", value)).items()
        )
    ),
    lambda value: {name: _ulimit(limit) for name, limit in value.items()},
    _ULIMIT,
)

_SYSCTL = re.compile(
    r"kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)"
    r"|fs\.mqueue\.[a-z0-9_.-]+|net\.[A-Za-z0-9_.-]+"
)


def _pairs(value: object) -> list[tuple[str, object]]:
    listed = [str(entry).partition("=") for entry in as_list(value)]
    return [*((name, text) for name, _, text in listed), *as_object(value).items()]


def _is_setting(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_sysctls(value: object) -> bool:
    return isinstance(value, dict | list) and all(
        _SYSCTL.fullmatch(name) and str(setting) and _is_setting(setting)
        for name, setting in _pairs(cast("object", value))
    )


SYSCTLS = Shape(
    "an object of those that a container has for itself: net.…, fs.mqueue.…, kernel.msgmax,"
    " kernel.msgmnb, kernel.msgmni, kernel.sem, kernel.shmall, kernel.shmmax, kernel.shmmni and"
    " kernel.shm_rmid_forced",
    _is_sysctls,
    lambda value: {name: str(setting) for name, setting in _pairs(value)},
)


def _is_address(value: object) -> bool:
    try:
        ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


_ADDRESS = Shape("an IP address", _is_address)
_SERVERS = list_of(_ADDRESS, "IP addresses")
DNS = Shape(
    "an IP address, or a list of them, each once",
    lambda value: _is_address(value) or _SERVERS.fits(value),
)
_DOMAIN = matching(r"[A-Za-z0-9_.-]+", "a domain")
_DOMAINS = list_of(_DOMAIN, "domains")
SEARCH = Shape(
    "a domain, or a list of them, each once",
    lambda value: _DOMAIN.fits(value) or _DOMAINS.fits(value),
)
ATTACHMENTS = Shape(
    "a list of networks, each once, or an object",
    lambda value: isinstance(value, dict) or TEXTS.fits(value),
)


def _split_host(entry: str) -> tuple[str, str]:
    name, _, address = entry.partition("=" if "=" in entry else ":")
    return name, address.removeprefix("[").removesuffix("]")


def _host_pairs(value: object) -> list[tuple[str, str]]:
    listed = [_split_host(str(entry)) for entry in as_list(value)]
    named = as_object(value).items()
    return [*listed, *((name, str(address).strip("[]")) for name, address in named)]


def _is_hosts(value: object) -> bool:
    return isinstance(value, dict | list) and all(
        re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        and (_is_address(address) or address == "host-gateway")
        for name, address in _host_pairs(cast("object", value))
    )


HOSTS = Shape(
    "an object of IP addresses, or a list of NAME:ADDRESS",
    _is_hosts,
    lambda value: [f"{name}:{address}" for name, address in _host_pairs(value)],
)


def _is_subnet(value: object) -> bool:
    if not isinstance(value, str) or "/" not in value:
        return False
    try:
        IPv4Network(value)
    except ValueError:
        return False
    return True


SUBNET = Shape("an IPv4 network such as 10.200.0.0/24", _is_subnet)

_LOG_DRIVERS = "awslogs fluentd gcplogs gelf journald json-file local none splunk syslog"
LOG_DRIVER = Shape(
    f"{_LOG_DRIVERS.replace(' ', ', ')}, or a plugin of every node's engine as NAME:TAG",
    lambda value: (
        isinstance(value, str)
        and (
            value in _LOG_DRIVERS.split()
            or re.fullmatch(r"[a-z0-9][a-z0-9./_-]*:[\w.-]+", value) is not None
        )
    ),
)

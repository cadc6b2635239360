"""Support for each of Compose's keys: the swarm accepts it, or it is rejected with a reason.

The keys are those of the Compose specification (compose-go 2.9) and of ``docker stack deploy``
(format 3.12). Keys that ``docker stack deploy`` accepts but ignores are rejected here, or
translated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.stack import shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.stack.shapes import Shape


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the swarm does not support a key, and what to do instead."""

    reason: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """The keys of one kind of object.

    ``taken`` are passed to the swarm, unchanged or translated; ``laptop`` do not apply to a swarm
    and are left out.
    """

    taken: Mapping[str, Shape]
    laptop: frozenset[str] = frozenset()
    refused: Mapping[str, Refusal] = field(default_factory=dict[str, Refusal])

    @property
    def keys(self) -> frozenset[str]:
        """Every key of Compose in this section."""
        return frozenset(self.taken) | self.laptop | frozenset(self.refused)


def _same(refusal: Refusal, *keys: str) -> dict[str, Refusal]:
    return dict.fromkeys(keys, refusal)


_IGNORED = "docker stack deploy ignores it"
_NOT_IN_STACKS = "a swarm's stack does not support it"
_CPU = Refusal(
    reason=_NOT_IN_STACKS, advice="set deploy.resources.limits.cpus, a number of processors"
)
_MEMORY = Refusal(
    reason=_NOT_IN_STACKS, advice="set deploy.resources.limits.memory, a size such as 512m"
)
_NAMESPACES = Refusal(
    reason=f"{_IGNORED}, so the service would run isolated",
    advice="run it on the laptop only, "
    "in a file of your own: docker compose -f docker-compose.yaml -f FILE",
)
_DEVICES = Refusal(
    reason="a swarm cannot give a node's device to a container",
    advice="declare the device as a generic resource of the node's engine, and request it in"
    " deploy.resources.reservations.generic_resources",
)
_HOOKS = Refusal(reason=_NOT_IN_STACKS, advice="do this in the image's entry point")
_INLINE = Refusal(
    reason="a stack is one file", advice="copy the definition into docker-compose.yaml"
)
_LINKS = Refusal(reason=_IGNORED, advice="use the other service's name as its host name")
_IMAGE = Refusal(reason=_NOT_IN_STACKS, advice="set it in the image")
_ADDRESS = Refusal(
    reason="the swarm assigns the addresses", advice="use the service's name or aliases"
)

SERVICE = Section(
    taken={
        "cap_add": shapes.TEXTS,
        "cap_drop": shapes.TEXTS,
        "command": shapes.WORDS,
        "configs": shapes.LIST,
        "container_name": shapes.TEXT,
        "cpus": shapes.DECIMAL,
        "deploy": shapes.OBJECT,
        "dns": shapes.WORDS,
        "dns_search": shapes.WORDS,
        "entrypoint": shapes.WORDS,
        "environment": shapes.TABLE,
        "extra_hosts": shapes.HOSTS,
        "healthcheck": shapes.OBJECT,
        "hostname": shapes.TEXT,
        "image": shapes.TEXT,
        "init": shapes.FLAG,
        "labels": shapes.TABLE,
        "logging": shapes.OBJECT,
        "mem_limit": shapes.SIZE,
        "mem_reservation": shapes.SIZE,
        "networks": shapes.NAMES,
        "pids_limit": shapes.WHOLE,
        "ports": shapes.LIST,
        "read_only": shapes.FLAG,
        "restart": shapes.TEXT,
        "scale": shapes.WHOLE,
        "secrets": shapes.LIST,
        "shm_size": shapes.SIZE,
        "stdin_open": shapes.FLAG,
        "stop_grace_period": shapes.DURATION,
        "stop_signal": shapes.TEXT,
        "sysctls": shapes.TABLE,
        "tmpfs": shapes.WORDS,
        "tty": shapes.FLAG,
        "ulimits": shapes.OBJECT,
        "user": shapes.TEXT,
        "volumes": shapes.LIST,
        "working_dir": shapes.TEXT,
    },
    laptop=frozenset(
        {
            "attach",
            "build",
            "depends_on",
            "develop",
            "expose",
            "profiles",
            "pull_policy",
            "pull_refresh_after",
        }
    ),
    refused={
        **_same(
            _CPU,
            "cpu_count",
            "cpu_percent",
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
            "cpu_shares",
            "cpuset",
        ),
        **_same(_MEMORY, "mem_swappiness", "memswap_limit", "oom_kill_disable", "oom_score_adj"),
        **_same(
            _NAMESPACES,
            "cgroup",
            "cgroup_parent",
            "cgroupns_mode",
            "ipc",
            "pid",
            "userns_mode",
            "uts",
        ),
        **_same(_DEVICES, "device_cgroup_rules", "devices", "gpus"),
        **_same(_HOOKS, "post_start", "pre_stop"),
        **_same(_LINKS, "external_links", "links"),
        **_same(_ADDRESS, "mac_address"),
        **_same(_IMAGE, "annotations", "label_file", "domainname", "dns_opt"),
        "blkio_config": Refusal(reason=_NOT_IN_STACKS, advice="remove it"),
        "credential_spec": Refusal(reason="it is for Windows containers", advice="remove it"),
        "env_file": Refusal(
            reason="the file's values would be readable in the service's definition",
            advice="name what is not secret under environment, and the rest under secrets",
        ),
        "extends": _INLINE,
        "group_add": Refusal(
            reason=_NOT_IN_STACKS, advice="set user to USER:GROUP, or the groups in the image"
        ),
        "isolation": Refusal(reason="it is for Windows containers", advice="remove it"),
        "models": Refusal(reason=_NOT_IN_STACKS, advice="run the model as a service"),
        "network_mode": Refusal(
            reason=f"{_IGNORED}, so the service would be in the stack's network",
            advice="for the node's own network declare an external network whose name is host",
        ),
        "platform": Refusal(
            reason=_NOT_IN_STACKS,
            advice="add node.platform.arch == x86_64, or aarch64, to deploy.placement.constraints",
        ),
        "privileged": Refusal(
            reason=_IGNORED, advice="name the capabilities that it needs under cap_add"
        ),
        "provider": Refusal(reason=_NOT_IN_STACKS, advice="run it as a service with an image"),
        "runtime": Refusal(
            reason=_NOT_IN_STACKS, advice="set default-runtime in the node's engine"
        ),
        "security_opt": Refusal(
            reason=_IGNORED, advice="drop capabilities under cap_drop, or set read_only"
        ),
        "storage_opt": Refusal(reason=_NOT_IN_STACKS, advice="remove it"),
        "use_api_socket": Refusal(
            reason=_NOT_IN_STACKS, advice="mount /var/run/docker.sock under volumes"
        ),
        "volumes_from": Refusal(
            reason=_NOT_IN_STACKS, advice="name the same volume under volumes in both services"
        ),
    },
)

HEALTH_CHECK = Section(
    taken={
        "disable": shapes.FLAG,
        "interval": shapes.DURATION,
        "retries": shapes.WHOLE,
        "start_interval": shapes.DURATION,
        "start_period": shapes.DURATION,
        "test": shapes.WORDS,
        "timeout": shapes.DURATION,
    }
)

LOGGING = Section(taken={"driver": shapes.TEXT, "options": shapes.TABLE})

DEPLOY = Section(
    taken={
        "endpoint_mode": shapes.TEXT,
        "labels": shapes.TABLE,
        "mode": shapes.TEXT,
        "placement": shapes.OBJECT,
        "replicas": shapes.WHOLE,
        "resources": shapes.OBJECT,
        "restart_policy": shapes.OBJECT,
        "rollback_config": shapes.OBJECT,
        "update_config": shapes.OBJECT,
    }
)

PLACEMENT = Section(
    taken={
        "constraints": shapes.TEXTS,
        "max_replicas_per_node": shapes.WHOLE,
        "preferences": shapes.LIST,
    }
)

RESOURCES = Section(taken={"limits": shapes.OBJECT, "reservations": shapes.OBJECT})

LIMITS = Section(
    taken={"cpus": shapes.DECIMAL, "memory": shapes.SIZE, "pids": shapes.WHOLE},
)

RESERVATIONS = Section(
    taken={"cpus": shapes.DECIMAL, "memory": shapes.SIZE, "generic_resources": shapes.LIST},
    refused={"devices": _DEVICES},
)

RESTART_POLICY = Section(
    taken={
        "condition": shapes.TEXT,
        "delay": shapes.DURATION,
        "max_attempts": shapes.WHOLE,
        "window": shapes.DURATION,
    }
)

UPDATE_CONFIG = Section(
    taken={
        "delay": shapes.DURATION,
        "failure_action": shapes.TEXT,
        "max_failure_ratio": shapes.NUMBER,
        "monitor": shapes.DURATION,
        "order": shapes.TEXT,
        "parallelism": shapes.WHOLE,
    }
)

PORT = Section(
    taken={
        "host_ip": shapes.TEXT,
        "mode": shapes.TEXT,
        "protocol": shapes.TEXT,
        "published": shapes.WHOLE,
        "target": shapes.WHOLE,
    },
    laptop=frozenset({"app_protocol", "name"}),
)

MOUNT = Section(
    taken={
        "bind": shapes.OBJECT,
        "read_only": shapes.FLAG,
        "source": shapes.TEXT,
        "target": shapes.TEXT,
        "tmpfs": shapes.OBJECT,
        "type": shapes.TEXT,
        "volume": shapes.OBJECT,
    },
    laptop=frozenset({"consistency"}),
    refused={
        "image": Refusal(reason=_NOT_IN_STACKS, advice="copy the files into the service's image")
    },
)

BIND = Section(
    taken={"propagation": shapes.TEXT},
    laptop=frozenset({"create_host_path"}),
    refused=_same(Refusal(reason=_NOT_IN_STACKS, advice="remove it"), "recursive", "selinux"),
)

MOUNT_VOLUME = Section(
    taken={"nocopy": shapes.FLAG},
    refused={
        "labels": Refusal(reason=_NOT_IN_STACKS, advice="label the volume under volumes"),
        "subpath": Refusal(reason=_NOT_IN_STACKS, advice="mount the whole volume"),
    },
)

MOUNT_TMPFS = Section(
    taken={"size": shapes.SIZE},
    refused={"mode": Refusal(reason=_NOT_IN_STACKS, advice="set it in the image's entry point")},
)

FILE_REFERENCE = Section(
    taken={
        "gid": shapes.TEXT,
        "mode": shapes.SCALAR,
        "source": shapes.TEXT,
        "target": shapes.TEXT,
        "uid": shapes.TEXT,
    }
)
"""Reference of a service to a secret or a config."""

ATTACHMENT = Section(
    taken={"aliases": shapes.TEXTS},
    refused={
        **_same(_ADDRESS, "ipv4_address", "ipv6_address", "link_local_ips", "mac_address"),
        **_same(
            Refusal(reason=_NOT_IN_STACKS, advice="remove it"),
            "driver_opts",
            "gw_priority",
            "interface_name",
            "priority",
        ),
    },
)
"""Reference of a service to a network."""

NETWORK = Section(
    taken={
        "attachable": shapes.FLAG,
        "driver": shapes.TEXT,
        "driver_opts": shapes.TABLE,
        "external": shapes.FLAG,
        "internal": shapes.FLAG,
        "ipam": shapes.OBJECT,
        "labels": shapes.TABLE,
        "name": shapes.TEXT,
    },
    refused=_same(
        Refusal(reason="an overlay network of a stack is IPv4", advice="remove it"),
        "enable_ipv4",
        "enable_ipv6",
    ),
)

IPAM = Section(
    taken={"config": shapes.LIST, "driver": shapes.TEXT},
    refused={"options": Refusal(reason=_NOT_IN_STACKS, advice="remove it")},
)

IPAM_CONFIG = Section(
    taken={"subnet": shapes.TEXT},
    refused=_same(
        Refusal(reason=_NOT_IN_STACKS, advice="give the subnet alone"),
        "aux_addresses",
        "gateway",
        "ip_range",
    ),
)

VOLUME = Section(
    taken={
        "driver": shapes.TEXT,
        "driver_opts": shapes.TABLE,
        "external": shapes.FLAG,
        "labels": shapes.TABLE,
        "name": shapes.TEXT,
    },
    refused={
        "x-cluster-spec": Refusal(reason="the nodes do not have a CSI driver", advice="remove it")
    },
)

_DRIVER = Refusal(
    reason="the stack creates secrets and configs from values in its state",
    advice="create it in the swarm with docker secret create --driver, and declare it external",
)

SECRET = Section(
    taken={
        "environment": shapes.TEXT,
        "external": shapes.FLAG,
        "file": shapes.TEXT,
        "name": shapes.TEXT,
    },
    refused={
        **_same(_DRIVER, "driver", "driver_opts", "template_driver"),
        "labels": Refusal(reason="the stack labels its own", advice="remove it"),
    },
)

CONFIG = Section(
    taken={
        "content": shapes.TEXT,
        "environment": shapes.TEXT,
        "external": shapes.FLAG,
        "file": shapes.TEXT,
        "name": shapes.TEXT,
    },
    refused={
        **_same(_DRIVER, "template_driver"),
        "labels": Refusal(reason="the stack labels its own", advice="remove it"),
    },
)

TOP = Section(
    taken={
        "configs": shapes.OBJECT,
        "networks": shapes.OBJECT,
        "secrets": shapes.OBJECT,
        "services": shapes.OBJECT,
        "volumes": shapes.OBJECT,
    },
    laptop=frozenset({"name", "version"}),
    refused={
        "include": _INLINE,
        "models": Refusal(reason=_NOT_IN_STACKS, advice="run the model as a service"),
    },
)

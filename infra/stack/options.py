"""Options of the stack that depend on the cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra import ports
from infra.stack.backups import BackupOptions
from infra.stack.loads import Nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.stack.mail import MailServer

AIRFLOW_RUNS_PER_DAG = 16
"""Airflow's default for the number of active runs of a DAG."""

VXLAN_HEADER_BYTES = 50
"""Outer Ethernet, IPv4, UDP and VXLAN headers of an overlay packet (RFC 7348)."""


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """The options of one stack on one cluster.

    ``images`` maps a kind (``airflow``, ``postgres``, ``redis``, ``web``) to a reference by digest.
    ``subnet`` is that of the stack's network. ``mtu`` is that of the link between the nodes, in
    bytes; the overlay's is derived from it. ``memory_limits`` maps services to sizes such as
    ``2g``; others have the compose file's default. ``secrets`` maps each of
    :data:`infra.stack.secrets.SECRET_NAMES` to its value; only a keyed hash of it is in the
    document. ``own_secrets`` and ``configs`` are those that the user adds in the compose file
    (:mod:`infra.stack.own_files`). ``airflow_variables`` and ``airflow_secrets`` are Airflow's
    options by the names of their variables.
    """

    name: str = "airflow"
    images: Mapping[str, str]
    managers: int = 1
    worker_nodes: int
    workers_per_node: int = 1
    worker_concurrency: int = 4
    task_grace_seconds: int = 3_600
    memory_limits: Mapping[str, str] = field(default_factory=dict[str, str])
    log_retention_days: int = 30
    backups: BackupOptions = field(default_factory=BackupOptions)
    mail: MailServer | None = None
    web_port: int = ports.WEB
    flower_port: int = ports.FLOWER
    base_url: str
    mtu: int = 1_500
    subnet: str = "10.192.0.0/20"
    secrets: Mapping[str, str] = field(repr=False)
    own_secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    configs: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    airflow_variables: Mapping[str, str] = field(default_factory=dict[str, str])
    airflow_secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def worker_replicas(self) -> int:
        """Total number of Celery workers."""
        return self.worker_nodes * self.workers_per_node

    @property
    def nodes(self) -> Nodes:
        """Number of nodes in the cluster."""
        return Nodes(managers=self.managers, workers=self.worker_nodes)

    @property
    def overlay_mtu(self) -> int:
        """The MTU of the stack's network, in bytes (moby#33416: a wrong one fails silently)."""
        return self.mtu - VXLAN_HEADER_BYTES

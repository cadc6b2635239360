"""Turn the compose file into the document of a swarm stack. Pure: no I/O, no clock, no chance.

What both the laptop and the swarm need is in ``docker-compose.yaml``. What only one of them can use
is added or taken away here: a swarm builds no image, orders no start, mounts no folder of the user's,
has no service address without IPVS, and cannot change a secret.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.stack.errors import StackError
from infra.stack.interpolate import escape, interpolate
from infra.stack.secrets import hashed_name, require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.stack.options import StackOptions

type_ = type
Document = dict[str, Any]

FILE_FORMAT = "3.13"
"""The newest compose format of ``docker stack deploy``; older ones refuse ``start_interval``."""

LEFT_OUT = frozenset({"build", "container_name", "depends_on", "profiles", "restart", "env_file"})
"""Keys of a service that only the laptop's compose knows what to do with."""

_SERVICE_NAME_LIMIT = 63
_START_INTERVAL = "1s"


@dataclass(frozen=True, kw_only=True)
class RenderedStack:
    """A stack that is ready to be deployed.

    ``secrets`` maps each logical name to the swarm's name for its present value.
    """

    name: str
    document: Document
    secrets: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Return the document as ``docker stack deploy -c -`` reads it (JSON is YAML)."""
        return json.dumps(self.document, indent=1, sort_keys=True).encode()

    def digest(self) -> str:
        """Return a hash of everything that is deployed; equal means that nothing changes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def render(compose: Mapping[str, Any], options: StackOptions) -> RenderedStack:
    """Render the compose file for the cluster that ``options`` describes.

    Raises:
        StackError: when the compose file or the options cannot be deployed, naming what and why.

    """
    require(options.secrets)
    source = _without_extensions(interpolate(copy.deepcopy(dict(compose)), _variables(options)))
    secrets = {name: hashed_name(options.name, name, options.secrets) for name in options.secrets}
    networks = source.get("networks") or {"default": {}}
    document: Document = {
        "version": FILE_FORMAT,
        "services": {
            name: _service(name, service, options) for name, service in source["services"].items()
        },
        "networks": {name: _network(options) for name in networks},
        "volumes": {name: {} for name in source.get("volumes", {})},
        "secrets": {
            name: {"external": True, "name": secrets[name]} for name in source.get("secrets", {})
        },
    }
    return RenderedStack(name=options.name, document=escape(document), secrets=secrets)

"""The swarm over the machines of a file, as `infra.cluster.bootstrap` makes it."""

import json
import os
from pathlib import Path

import pulumi

from infra.firewall import Policy
from infra.images import registry
from infra.resources.keys import RegistryCertificate
from infra.resources.swarm import Swarm

FLEET = json.loads(Path(os.environ["DAIRFLOW_SCALE_FLEET"]).read_text())
FIRST_ADDRESS = FLEET["machines"][0]["private_address"]

certificate = RegistryCertificate("registry-certificate", addresses=[FIRST_ADDRESS, "127.0.0.1"])
swarm = Swarm(
    "swarm",
    machines=FLEET["machines"],
    private_key=FLEET["private_key"],
    firewall=Policy(operator_cidrs=("127.0.0.1/32",), client_cidrs=()).to_dict(),
    trusted_registries={f"{FIRST_ADDRESS}:{registry.PORT}": certificate.authority},
    drain_timeout=60,
)
pulumi.export("nodes", swarm.nodes.apply(len))

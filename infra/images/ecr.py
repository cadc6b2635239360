"""Pulls images from Amazon's registry (ECR) on the nodes. Independent of Pulumi.

An account's token lasts 12 hours. A swarm stores the login of ``--with-registry-auth``, so that the
image of a task that moves to another node a day later could not be pulled. So the swarm does not
get a login: each node pulls by itself before the deployment, with a token that Amazon's credential
helper requests with the role of its instance. The swarm does not pull an image that a node has by
its digest (moby's ``daemon/cluster/executor/container/adapter.go``).
"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from infra.remote.runner import RemoteError
from infra.remote.script import script
from infra.swarm.commands import INSTALL_SECONDS, PACKAGES, alone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.remote.runner import Runner

PULL_TIMEOUT_SECONDS = 900.0
ROLE_TIMEOUT_SECONDS = 180.0
"""IAM propagates a new role within minutes ("eventual consistency")."""
_POLL_SECONDS = 3.0
TOKEN_TIMEOUT_SECONDS = 60.0
_INSTALL_HELPER = alone(script("images/scripts/install_ecr_helper.sh", **PACKAGES))
_NO_TOKEN = 75
"""The exit status of a command without a token (``EX_TEMPFAIL`` of ``sysexits.h``)."""


def missing(runner: Runner, references: Sequence[str]) -> list[str]:
    """Return those of ``references`` (``repository@sha256:…``) that the machine does not have."""
    words = shlex.join(references)
    answer = runner.run(
        f"for image in {words}; do"
        ' docker image inspect "$image" > /dev/null 2>&1 || echo "$image"; done'
    )
    return answer.stdout.split()


def pull(runner: Runner, references: Sequence[str], *, report: Callable[[str], None]) -> None:
    """Make a machine pull those of ``references`` that it does not have.

    Raises:
        RemoteError: with the engine's message, after waiting for the role of the machine's
            instance.

    """
    wanted = missing(runner, references)
    if not wanted:
        return
    name = runner.machine.name
    runner.run(_INSTALL_HELPER, timeout=INSTALL_SECONDS)
    command, timeout = _pull(wanted), TOKEN_TIMEOUT_SECONDS + PULL_TIMEOUT_SECONDS * len(wanted)
    begun = time.monotonic()
    answer = runner.run(command, timeout=timeout, check=False)
    if answer.exit_status == _NO_TOKEN:
        report(f"{name}: waiting for ECR to issue a token to its instance's role")
    while answer.exit_status == _NO_TOKEN and time.monotonic() < begun + ROLE_TIMEOUT_SECONDS:
        time.sleep(_POLL_SECONDS)
        answer = runner.run(command, timeout=timeout, check=False)
    if answer.failed:
        raise RemoteError.of_command(runner.machine, command, answer)
    report(f"{name}: pulled {len(wanted)} image(s) from ECR ({time.monotonic() - begun:.1f} s)")


def _pull(references: Sequence[str]) -> str:
    """Return the command that requests one token and pulls every image with it.

    The Docker client does not use the helper, which it would run for each image: Debian 12's helper
    sometimes fails if ECR answers fast (its SDK closes the request's body, and the connection,
    while sending it). The folder is in memory: the token is never on a disk.
    """
    return script(
        "images/scripts/pull_from_ecr.sh",
        REGISTRY=references[0].partition("/")[0],
        IMAGES=" ".join(references),
        NO_TOKEN=_NO_TOKEN,
    )

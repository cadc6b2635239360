"""How the nodes pull images from Amazon's registry (ECR). Knows no Pulumi.

An account's token lasts 12 hours. A swarm keeps what ``--with-registry-auth`` gives it, so that a
task which moves to another node a day later could not be pulled. So nothing is given to the swarm:
each node pulls by itself before the deployment, with Amazon's credential helper and the role of its
instance. Of an image that is there by its digest, the swarm pulls nothing (moby's
``daemon/cluster/executor/container/adapter.go``).
"""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING

from infra.swarm.commands import INSTALL_ECR_HELPER, INSTALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infra.remote.runner import Runner

PULL_TIMEOUT_SECONDS = 900.0
ROLE_TIMEOUT_SECONDS = 180.0
"""IAM makes a new role known everywhere within minutes at most ("eventual consistency")."""
_POLL_SECONDS = 3.0
TOKEN_TIMEOUT_SECONDS = 60.0


def missing(runner: Runner, references: Sequence[str]) -> list[str]:
    """Return those of ``references`` (``repository@sha256:…``) that the machine does not have."""
    words = shlex.join(references)
    answer = runner.run(
        f"for image in {words}; do"
        ' docker image inspect "$image" > /dev/null 2>&1 || echo "$image"; done'
    )
    return answer.stdout.split()


def pull(runner: Runner, references: Sequence[str], *, report: Callable[[str], None]) -> None:
    """Make a machine pull ``references``; what it has already is not asked for.

    Raises:
        RemoteError: with the engine's words; the role of the machine's instance is waited for.

    """
    wanted = missing(runner, references)
    if not wanted:
        return
    name = runner.machine.name
    runner.run(INSTALL_ECR_HELPER, timeout=INSTALL_SECONDS)
    registry = wanted[0].partition("/")[0]
    _wait_for_role(runner, registry, report)
    begun = time.monotonic()
    for reference in wanted:
        runner.run(_pull(registry, reference), timeout=PULL_TIMEOUT_SECONDS)
    report(f"{name}: pulled {len(wanted)} image(s) from ECR ({time.monotonic() - begun:.1f} s)")


def _wait_for_role(runner: Runner, registry: str, report: Callable[[str], None]) -> None:
    """Wait until the machine's instance may ask ECR for a token."""
    deadline = time.monotonic() + ROLE_TIMEOUT_SECONDS
    told = False
    while True:
        last = time.monotonic() > deadline
        answer = runner.run(_ask(registry), timeout=TOKEN_TIMEOUT_SECONDS, check=last)
        if not answer.failed:
            return
        if not told:
            report(f"{runner.machine.name}: waits for its instance's role to be known to ECR")
            told = True
        time.sleep(_POLL_SECONDS)


# The helper keeps tokens in a file unless it is told not to, and its complaints in another one.
_HELPER = """set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AWS_ECR_DISABLE_CACHE=true AWS_ECR_CACHE_DIR="$folder"
complain() {
    cat "$folder/log/ecr-login.log" >&2
    exit 1
}
"""


def _ask(registry: str) -> str:
    return (
        f"# ask ECR for a token by the role of the machine's instance\n{_HELPER}"
        f"printf %s {shlex.quote(registry)} | docker-credential-ecr-login get > /dev/null"
        " || complain"
    )


def _pull(registry: str, reference: str) -> str:
    config = json.dumps({"credHelpers": {registry: "ecr-login"}})
    return (
        f"# pull {reference}\n{_HELPER}"
        f'printf %s {shlex.quote(config)} > "$folder/config.json"\n'
        f'docker --config "$folder" pull --quiet {shlex.quote(reference)} > /dev/null || complain'
    )

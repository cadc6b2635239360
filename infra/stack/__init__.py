"""From ``docker-compose.yaml`` to Airflow running on a swarm, and away again.

``render`` turns the compose file into a stack document, ``deploy`` brings it up over a runner of a
manager (`infra.remote.runner`) and waits until Airflow is healthy, ``remove`` takes it away.
Nothing here knows Pulumi.
"""

from infra.stack.deploy import RegistryLogin, ServiceState, StackState, deploy, observe
from infra.stack.errors import StackError
from infra.stack.options import StackOptions
from infra.stack.remove import remove
from infra.stack.render import RenderedStack, render
from infra.stack.secrets import SECRET_NAMES, generate

__all__ = [
    "SECRET_NAMES",
    "RegistryLogin",
    "RenderedStack",
    "ServiceState",
    "StackError",
    "StackOptions",
    "StackState",
    "deploy",
    "generate",
    "observe",
    "remove",
    "render",
]

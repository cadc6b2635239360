"""dairflow: Apache Airflow on a Docker swarm. `pulumi up` runs this file."""

from infra.cluster import (
    bootstrap,
    check_mail,
    deploy_airflow,
    export_outputs,
    keep_images,
    publish_images,
    read_services,
)
from infra.machines.provision import preflight, provision
from infra.machines.targets import TARGETS
from infra.resources.keys import Secrets
from infra.settings.loading import load
from infra.stack.memory import needs

settings = load(TARGETS)
target = TARGETS[settings.target]
services = read_services(settings, target)
needed = needs(services.ready.loads, settings.task_memory)
check_mail(settings)
site = preflight(target, settings, needed)
secrets = Secrets("secrets", rotations=settings.rotations, given=settings.given_secrets)
fleet = provision(target, settings, site, secrets.cluster_id, needed)
cluster = bootstrap(settings, fleet, secrets)
images = publish_images(settings, cluster)
stack = deploy_airflow(settings, cluster, images, secrets, services)
keep_images(settings, cluster, images, stack)
export_outputs(fleet, images, secrets, stack, services)

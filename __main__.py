"""dairflow: Apache Airflow on a Docker swarm. `pulumi up` runs this file."""

from infra.cluster import (
    bootstrap,
    deploy_airflow,
    export_outputs,
    keep_images,
    publish_images,
    read_services,
)
from infra.machines.provision import preflight, provision
from infra.resources.keys import Secrets
from infra.settings.model import load
from infra.stack.memory import needs

settings = load()
services = read_services(settings)
needed = needs(services.ready.loads, settings.task_memory)
site = preflight(settings, needed)
secrets = Secrets("secrets", rotations=settings.rotations, given=settings.given_secrets)
fleet = provision(settings, site, secrets.cluster_id, needed)
cluster = bootstrap(settings, fleet, secrets)
images = publish_images(settings, cluster)
stack = deploy_airflow(settings, cluster, images, secrets, services)
keep_images(settings, cluster, images, stack)
export_outputs(fleet, images, secrets, stack)

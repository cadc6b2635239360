"""The parts of the program, in the order in which ``__main__.py`` calls them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.compose_capacity import HEADLINE, excess
from infra.firewall import Policy
from infra.images import registry
from infra.program_errors import shown_to_users
from infra.project import ROOT, STACK_NAME
from infra.push_tunnel import push_tunnel
from infra.resources.images import EmbeddedAccess, PublishedImage
from infra.resources.kept_images import KeptImages
from infra.resources.keys import (
    REGISTRY_PASSWORD,
    RETIRED_REGISTRY_PASSWORD,
    RegistryCertificate,
    Secrets,
)
from infra.resources.node_images import NodeImages
from infra.resources.operator_files import OperatorFiles
from infra.resources.registry import Registry
from infra.resources.stack import Stack
from infra.resources.swarm import Swarm
from infra.settings.airflow import airflow_config, lost_guarantees, unknown_sections
from infra.settings.secrets import JOIN_TOKENS, REGISTRY_CERTIFICATE
from infra.stack.backups import BACKUP_PASSPHRASE
from infra.stack.compose_file import read_compose_file
from infra.stack.errors import StackError
from infra.stack.loads import Nodes, demand_on
from infra.stack.network import NETWORK, choose, written_subnets
from infra.stack.offers import offers
from infra.stack.options import StackOptions
from infra.stack.own_files import OwnFiles
from infra.stack.problems import FILE, refuse
from infra.stack.render import airflow_files
from infra.stack.secrets import of_services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.images.access import RegistryAccess
    from infra.machines.fleet import Fleet
    from infra.settings.model import Settings
    from infra.settings.target_rules import TargetRules
    from infra.stack.compose_file import ComposeFile
    from infra.stack.render import Prepared

ADMIN_USER = "admin"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A swarm, and the registry of its images."""

    fleet: Fleet
    swarm: Swarm
    access: RegistryAccess
    ready: Sequence[pulumi.Resource]
    """Resources on which the push of images depends."""
    login: pulumi.Output[dict[str, str]] | None
    """The swarm's registry login; None if its nodes pull by themselves."""


def read_services(settings: Settings, target: TargetRules[Any]) -> ComposeFile:
    """Read the compose file, and check that the swarm can run all of it.

    Raises:
        pulumi.RunError: lists every problem; Pulumi shows it without a traceback.

    """
    digest = f"sha256:{'0' * 64}"  # the images are not built yet
    options = _options(
        settings,
        images={kind: f"{name}@{digest}" for kind, name in settings.images.items()},
        base_url="",
        mtu=0,
        subnet="",
        secrets={},
        own=OwnFiles(),
    )
    try:
        services = read_compose_file(ROOT, options, os.environ)
        given = settings.model_dump(mode="json", by_alias=True)
        refuse(excess(services.ready, options, given, target), HEADLINE)
    except StackError as error:
        raise pulumi.RunError(str(error)) from None
    if services.laptop_only:
        names = ", ".join(services.laptop_only)
        pulumi.warn(f"{names}: for Docker Compose on the laptop; the swarm uses only {FILE}")
    if unknown := unknown_sections(settings.airflow_config):
        names = ", ".join(unknown)
        pulumi.warn(f"airflowConfig: only a package of yours can define the sections {names}")
    for lost in lost_guarantees(settings.airflow_config):
        pulumi.warn(lost)
    return services


def check_mail(settings: Settings) -> None:
    """Check that the mail server accepts the cluster's mail, if there is one.

    Raises:
        pulumi.RunError: with the cause.

    """
    if settings.mail_server and settings.smtp_check:
        from infra import mail_check  # noqa: PLC0415 - for stacks with a mail server

        with shown_to_users():
            mail_check.check(settings.mail_server)


def bootstrap(settings: Settings, fleet: Fleet, secrets: Secrets) -> Cluster:
    """Join the machines into a swarm; without another registry, start one on the first manager."""
    if fleet.registry is None:
        return _with_own_registry(settings, fleet, secrets)
    swarm = _swarm(settings, fleet, {})
    return Cluster(fleet=fleet, swarm=swarm, access=fleet.registry, ready=(), login=None)


def _with_own_registry(settings: Settings, fleet: Fleet, secrets: Secrets) -> Cluster:
    pull_address = fleet.first_manager.apply(lambda m: f"{m['private_address']}:{registry.PORT}")
    certificate = RegistryCertificate(
        "registry-certificate",
        addresses=[fleet.first_manager["private_address"], "127.0.0.1"],
        rotation=settings.rotations.get(REGISTRY_CERTIFICATE, 0),
    )
    trusted = pulumi.Output.all(pull_address, certificate.authority).apply(
        lambda pair: {pair[0]: pair[1]}
    )
    swarm = _swarm(settings, fleet, trusted)
    password = secrets.values[REGISTRY_PASSWORD]
    running = Registry(
        "registry",
        machine=fleet.first_manager,
        private_key=fleet.private_key,
        certificate=certificate.certificate,
        certificate_key=certificate.private_key,
        password=password,
        former_password=secrets.values.apply(
            lambda values: values.get(RETIRED_REGISTRY_PASSWORD, "")
        ),
        connections_per_second=settings.connections_per_second,
        logins=fleet.logins,
        opts=fleet.lives_on(swarm),
    )
    access = EmbeddedAccess(
        push_host="127.0.0.1",
        push_port=push_tunnel(fleet) if fleet.push_port is None else fleet.push_port,
        pull_address=pull_address,
        authority=certificate.authority,
        password=password,
    )
    login = pulumi.Output.all(pull_address, password).apply(
        lambda pair: {
            "address": pair[0],
            "user": registry.user_of(pair[1]),
            "password": pair[1],
        }
    )
    return Cluster(fleet=fleet, swarm=swarm, access=access, ready=(running,), login=login)


def _swarm(
    settings: Settings, fleet: Fleet, trusted_registries: pulumi.Input[Mapping[str, str]]
) -> Swarm:
    return Swarm(
        "swarm",
        machines=fleet.machines,
        private_key=fleet.private_key,
        firewall=_policy(settings, fleet),
        trusted_registries=trusted_registries,
        drain_timeout=settings.task_grace_seconds,
        connections_per_second=settings.connections_per_second,
        logins=fleet.logins,
        release=fleet.release,
        token_rotation=settings.rotations.get(JOIN_TOKENS, 0),
        opts=fleet.lives_on(*fleet.resources),
    )


def publish_images(settings: Settings, cluster: Cluster) -> Mapping[str, pulumi.Output[str]]:
    """Build and push the stack's images; return each kind's reference by digest."""
    folders = {kind: ROOT / "images" / kind for kind in settings.images}
    return {
        kind: PublishedImage(
            name,
            context=ROOT if kind == "airflow" else folders[kind],
            dockerfile=folders[kind] / "Dockerfile",
            access=cluster.access,
            platform=cluster.fleet.platform,
            depends_on=cluster.ready,
        ).reference
        for kind, name in settings.images.items()
    }


def deploy_airflow(
    settings: Settings,
    cluster: Cluster,
    images: Mapping[str, pulumi.Output[str]],
    secrets: Secrets,
    services: ComposeFile,
) -> Stack:
    """Deploy the services and wait until Airflow is healthy."""
    fleet = cluster.fleet
    on_nodes = [] if cluster.login else [_node_images(settings, cluster, images)]
    return Stack(
        STACK_NAME,
        compose=services.content,
        options=_stack_options(settings, fleet, images, secrets, services),
        secrets=pulumi.Output.all(
            secrets.values,
            pulumi.Output.secret(services.own.secrets),
            pulumi.Output.secret(dict(settings.backup_options.secrets)),
            pulumi.Output.secret(dict(mail.secrets) if (mail := settings.mail_server) else {}),
            pulumi.Output.secret(airflow_files(airflow_config(settings.airflow_config).secrets)),
        ).apply(lambda parts: {name: value for part in parts for name, value in part.items()}),
        configs=services.own.configs,
        machines=pulumi.Output.all(*fleet.machines),
        private_key=fleet.private_key,
        login=cluster.login,
        connections_per_second=settings.connections_per_second,
        logins=fleet.logins,
        opts=fleet.lives_on(cluster.swarm, *on_nodes),
    )


def _node_images(
    settings: Settings, cluster: Cluster, images: Mapping[str, pulumi.Output[str]]
) -> NodeImages:
    """Pull images on the nodes: Airflow's on all, the others only on managers."""
    fleet = cluster.fleet
    return NodeImages(
        "node-images",
        references=pulumi.Output.all(**images).apply(
            lambda known: {"manager": sorted(known.values()), "worker": [known["airflow"]]}
        ),
        machines=pulumi.Output.all(*fleet.machines),
        private_key=fleet.private_key,
        connections_per_second=settings.connections_per_second,
        logins=fleet.logins,
        opts=fleet.lives_on(cluster.swarm),
    )


def keep_images(
    settings: Settings,
    cluster: Cluster,
    images: Mapping[str, pulumi.Output[str]],
    stack: Stack,
) -> None:
    """Keep only the newest releases' images on the nodes and in the registry."""
    fleet = cluster.fleet
    KeptImages(
        "kept-images",
        references=pulumi.Output.all(*images.values()),
        owned=cluster.access.owned(),
        registry=cluster.access.endpoint(),
        keep=settings.keep_releases,
        machines=pulumi.Output.all(*fleet.machines),
        private_key=fleet.private_key,
        connections_per_second=settings.connections_per_second,
        logins=fleet.logins,
        opts=fleet.lives_on(cluster.swarm, stack),
    )


def export_outputs(
    fleet: Fleet,
    images: Mapping[str, pulumi.Output[str]],
    secrets: Secrets,
    stack: Stack,
    services: ComposeFile,
) -> None:
    """Export the outputs for the user. The URLs are known when Airflow answers there."""
    ready = stack.id
    pulumi.export("airflowUrl", pulumi.Output.all(fleet.web_url, ready).apply(lambda v: v[0]))
    pulumi.export("flowerUrl", pulumi.Output.all(fleet.flower_url, ready).apply(lambda v: v[0]))
    pulumi.export("adminUser", ADMIN_USER)
    pulumi.export("adminPassword", pulumi.Output.secret(secrets.values["admin_password"]))
    pulumi.export("flowerPassword", pulumi.Output.secret(secrets.values["flower_password"]))
    pulumi.export("backupPassphrase", pulumi.Output.secret(secrets.values[BACKUP_PASSPHRASE]))
    pulumi.export("nodes", pulumi.Output.all(*fleet.machines).apply(_nodes))
    pulumi.export("imageRef", images["airflow"])
    offered = offers(services.ready.services)
    pulumi.export("offers", ready.apply(lambda _: offered))
    for name, value in fleet.outputs.items():
        pulumi.export(name, value)
    files = OperatorFiles(
        "operator-files",
        folder=f".dairflow/stacks/{pulumi.get_stack()}",
        machines=fleet.machines,
        private_key=fleet.private_key,
        logins=fleet.logins,
    )
    pulumi.export("managerSsh", files.manager_ssh)
    pulumi.export("dockerContext", files.docker_context)


def _policy(settings: Settings, fleet: Fleet) -> pulumi.Output[dict[str, Any]]:
    def policy(operator_cidrs: list[str]) -> dict[str, Any]:
        return Policy(
            operator_cidrs=tuple(operator_cidrs),
            client_cidrs=tuple(dict.fromkeys((*operator_cidrs, *settings.allowed_cidrs))),
            image_pusher_cidrs=tuple(operator_cidrs) if fleet.push_port is not None else (),
            web_port=settings.web_port,
            flower_port=settings.flower_port,
            registry_port=settings.registry_port,
        ).to_dict()

    return pulumi.Output.all(cidrs=fleet.operator_cidrs).apply(lambda known: policy(known["cidrs"]))


def _stack_options(
    settings: Settings,
    fleet: Fleet,
    images: Mapping[str, pulumi.Output[str]],
    secrets: Secrets,
    services: ComposeFile,
) -> pulumi.Output[StackOptions]:
    known = pulumi.Output.all(
        images=images,
        base_url=fleet.web_url,
        mtu=fleet.mtu,
        secrets=secrets.values,
        subnet=_subnet(settings, fleet, services.ready),
    )
    return known.apply(
        lambda values: _options(
            settings,
            images=values["images"],
            base_url=values["base_url"],
            mtu=int(values["mtu"]),
            subnet=values["subnet"],
            secrets=of_services(values["secrets"]),
            own=services.own,
        )
    )


def _options(
    settings: Settings,
    *,
    images: Mapping[str, str],
    base_url: str,
    mtu: int,
    subnet: str,
    secrets: Mapping[str, str],
    own: OwnFiles,
) -> StackOptions:
    config = airflow_config(settings.airflow_config)
    return StackOptions(
        name=STACK_NAME,
        images=images,
        managers=settings.managers,
        worker_nodes=settings.workers,
        workers_per_node=settings.workers_per_node,
        worker_concurrency=settings.worker_concurrency,
        task_grace_seconds=settings.task_grace_seconds,
        memory_limits=settings.limits,
        log_retention_days=settings.log_retention_days,
        backups=settings.backup_options,
        mail=settings.mail_server,
        web_port=settings.web_port,
        flower_port=settings.flower_port,
        base_url=base_url,
        mtu=mtu,
        subnet=subnet,
        secrets=secrets,
        own_secrets=own.secrets,
        airflow_variables=config.variables,
        airflow_secrets=config.secrets,
        configs=own.configs,
    )


def _subnet(settings: Settings, fleet: Fleet, ready: Prepared) -> pulumi.Output[str]:
    """Return the compose file's network or the setting, or choose one without the machines."""
    written = written_subnets(ready.source)
    demand = demand_on(
        NETWORK, ready.loads, Nodes(managers=settings.managers, workers=settings.workers)
    )

    def subnet(machines: list[dict[str, Any]]) -> str:
        with shown_to_users():
            addresses = [machine["private_address"] for machine in machines]
            return choose(demand, addresses, written.values())

    if given := written.get(NETWORK) or settings.overlay_network:
        return pulumi.Output.from_input(given)
    return pulumi.Output.all(*fleet.machines).apply(subnet)


def _nodes(machines: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {"name": m["name"], "role": m["role"], "address": m["private_address"]} for m in machines
    ]

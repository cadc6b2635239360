"""The ``aws`` target: the cluster's machines are EC2 instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws
from pulumi_aws import ec2

from infra import ports
from infra.architecture import docker_name, platform
from infra.firewall import Policy
from infra.machines.aws.network import (
    Naming,
    existing_network,
    make_network,
    make_security_group,
)
from infra.machines.aws.prices import monthly_estimate
from infra.machines.aws.settings import ECR
from infra.machines.cloud_config import cloud_config
from infra.machines.fleet import Fleet, Record, names
from infra.resources.keys import SshKey
from infra.resources.operator_access import OperatorAccess
from infra.settings.secrets import OPERATOR_KEY

if TYPE_CHECKING:
    from infra.machines.aws.preflight import Site
    from infra.machines.aws.registry import EcrAccess, InstanceRole
    from infra.machines.aws.settings import AwsSettings

DEBIAN_ACCOUNT = "136693071363"
"""Debian's account, which publishes its images (wiki.debian.org/Cloud/AmazonEC2Image)."""
DEBIAN_RELEASE = 13
USER = "admin"
"""The user of Debian's images; its sudo needs no password."""
MTU = 1500
"""Bytes. A VPC allows 9001 inside, but nothing larger than 1500 leaves it."""
LAUNCH_ONLY = (
    "ami",
    "rootBlockDevice.encrypted",
    "subnetId",
    "userData",
)
"""Inputs that apply to new instances only: a running instance is never replaced or stopped for
them. Pulumi keeps the last recorded input, so none of them may change on AWS's side."""


class AwsMachines(pulumi.ComponentResource):
    """A network, a security group, and an instance for each machine."""

    def __init__(
        self,
        name: str,
        settings: AwsSettings,
        site: Site,
        *,
        cluster_id: pulumi.Output[str],
        place: pulumi.Resource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """``site`` is the result of `preflight.check`; ``cluster_id`` goes into every tag.

        Everything waits for ``place``, which rejects a change of region.
        """
        super().__init__("dairflow:machines:Aws", name, None, opts)
        self._settings = settings
        self._site = site
        self._cluster_id = cluster_id
        self._naming = _naming(cluster_id)
        self._provider = aws.Provider(
            "aws",
            region=site.region,
            profile=self._settings.aws_profile or None,
            # Another region would replace the provider and all its resources.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[place]),
        )
        child = self._opts()
        self._network = (
            existing_network(site)
            if settings.aws_subnet_ids
            else make_network(site, settings.aws_vpc_cidr, self._naming, child)
        )
        self._group, self._rules = make_security_group(
            self._network, self._policy(), self._naming, child
        )
        self._registry, self._role = self._make_registry()
        self._operator = SshKey(
            "operator",
            rotation=settings.rotations.get(OPERATOR_KEY, 0),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._image_id = self._find_image()
        machines = {
            machine: self._machine(machine, role, number)
            for machine, role, number in names(settings.managers, settings.workers)
        }
        self.fleet = self._fleet(machines)
        self.register_outputs({"names": list(machines)})

    def _opts(self, **more: Any) -> pulumi.ResourceOptions:  # noqa: ANN401 - Pulumi's options
        return pulumi.ResourceOptions(parent=self, provider=self._provider, **more)

    def _policy(self) -> Policy:
        """Return the access rules: SSH and the web pages are open to ``allowedCidrs``."""
        allowed = self._settings.allowed_cidrs
        return Policy(
            operator_cidrs=allowed,
            client_cidrs=allowed,
            web_port=self._settings.web_port,
            flower_port=self._settings.flower_port,
            registry_port=self._settings.registry_port,
        )

    def _make_registry(self) -> tuple[EcrAccess | None, InstanceRole | None]:
        """Create Amazon's registry and the role that pulls from it.

        Machines that have the role keep it, without permissions, if another registry is set:
        omitting the input would not remove the role from a machine, and would delete it while in
        use.
        """
        if self._settings.registry != ECR and not self._site.has_profile:
            return None, None
        from infra.machines.aws.registry import make_registry, make_role  # noqa: PLC0415

        opts = self._opts()
        if self._settings.registry != ECR:
            return None, make_role((), self._naming, opts)
        return make_registry(
            self._settings.images.values(),
            region=self._site.region,
            profile=self._settings.aws_profile,
            naming=self._naming,
            opts=opts,
        )

    def _find_image(self) -> pulumi.Output[str]:
        architecture = docker_name(self._site.architecture)
        found = ec2.get_ami_output(
            owners=[DEBIAN_ACCOUNT],
            most_recent=True,
            filters=[
                {"name": "name", "values": [f"debian-{DEBIAN_RELEASE}-{architecture}-*"]},
                {"name": "architecture", "values": [self._site.architecture]},
                {"name": "virtualization-type", "values": ["hvm"]},
            ],
            opts=pulumi.InvokeOutputOptions(parent=self, provider=self._provider),
        )
        return found.id

    def _machine(self, name: str, role: str, number: int) -> tuple[ec2.Instance, Record]:
        host_key = SshKey(f"{name}-host-key", opts=pulumi.ResourceOptions(parent=self))
        zone = self._site.zones[(number - 1) % len(self._site.zones)]
        instance = self._instance(name, zone, host_key, is_manager=role == "manager")
        public = self._settings.aws_public_addresses
        record: Record = {
            "name": name,
            "role": role,
            "address": (
                instance.public_ip.apply(lambda address: _known(name, address))
                if public
                else instance.private_ip
            ),
            "port": ports.SSH,
            "user": USER,
            "host_key": host_key.public_key,
            "private_address": instance.private_ip,
            "labels": {},
        }
        return instance, record

    def _instance(
        self, name: str, zone: str, host_key: SshKey, *, is_manager: bool
    ) -> ec2.Instance:
        settings, tags = self._settings, self._naming.tags(name)
        is_protected = is_manager and settings.aws_protect
        return ec2.Instance(
            name,
            ami=self._image_id,
            instance_type=settings.aws_manager_type if is_manager else settings.aws_worker_type,
            subnet_id=self._network.subnets[zone],
            vpc_security_group_ids=[self._group.id],
            associate_public_ip_address=self._public_at_launch(name),
            iam_instance_profile=self._role.profile if self._role else None,
            user_data=self._user_data(name, host_key),
            root_block_device=ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3",
                volume_size=(
                    settings.aws_manager_volume if is_manager else settings.aws_worker_volume
                ),
                encrypted=True,
                delete_on_termination=not is_protected,
                tags=tags,
            ),
            # One hop: containers on the machine cannot read the user data.
            metadata_options=ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            instance_market_options=None if is_manager else self._market(),
            disable_api_termination=is_protected,
            tags=tags,
            opts=self._opts(
                depends_on=[
                    *self._network.ready,
                    *self._rules,
                    *(self._role.ready if self._role else ()),
                ],
                ignore_changes=list(LAUNCH_ONLY),
                # Omitting the market options does not change a spot instance. Never for a manager.
                replacement_trigger=None if is_manager else settings.aws_spot_workers,
                protect=is_protected,
            ),
        )

    def _public_at_launch(self, name: str) -> pulumi.Output[bool | None]:
        """Omit the input for an instance that is kept, so that the provider keeps its address.

        A stopped instance has no public address, and a refresh records that as a changed input.
        """
        public, staying = self._settings.aws_public_addresses, self._site.staying
        return self._cluster_id.apply(
            lambda cluster_id: None if (cluster_id, name) in staying else public
        )

    def _user_data(self, name: str, host_key: SshKey) -> pulumi.Output[str]:
        keys = pulumi.Output.all(
            host_key.private_key, host_key.public_key, self._operator.public_key
        )
        return pulumi.Output.secret(
            keys.apply(
                lambda known: cloud_config(
                    hostname=name,
                    user=USER,
                    host_key=known[0],
                    host_public_key=known[1],
                    authorized_key=known[2],
                )
            )
        )

    def _market(self) -> ec2.InstanceInstanceMarketOptionsArgs | None:
        if not self._settings.aws_spot_workers:
            return None
        return ec2.InstanceInstanceMarketOptionsArgs(
            market_type="spot",
            spot_options=ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
                spot_instance_type="one-time", instance_interruption_behavior="terminate"
            ),
        )

    def _fleet(self, machines: dict[str, tuple[ec2.Instance, Record]]) -> Fleet:
        _, first = machines["manager-1"]
        settings = self._settings
        host = pulumi.Output.from_input(first["address"])
        records = [pulumi.Output.from_input(record) for _, record in machines.values()]
        resources = [instance for instance, _ in machines.values()]
        access = OperatorAccess(
            "operator-access",
            machines=records,
            key=self._operator,
            connections_per_second=settings.connections_per_second,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(resources)),
        )
        return Fleet(
            machines=records,
            resources=resources,
            private_key=access.private_key,
            operator_cidrs=settings.allowed_cidrs,
            web_url=pulumi.Output.concat("http://", host, f":{settings.web_port}"),
            flower_url=pulumi.Output.concat("http://", host, f":{settings.flower_port}"),
            mtu=pulumi.Output.from_input(MTU),
            registry=self._registry,
            platform=platform(self._site.architecture),
            outputs={"estimatedMonthlyCost": monthly_estimate(settings)},
        )


def _known(name: str, address: str | None) -> str:
    """Return the public address.

    Raises:
        pulumi.RunError: if the state has none because it was refreshed while the machine was
            stopped.

    """
    if not address:
        msg = (
            f"{name} has no public address in this stack's state, which was refreshed while the"
            " machine was stopped. Start the machine, then run `pulumi up --refresh`."
        )
        raise pulumi.RunError(msg)
    return address


def _naming(cluster_id: pulumi.Output[str]) -> Naming:
    stack = pulumi.get_stack()
    prefix = f"dairflow-{stack}"

    def tags(name: str) -> dict[str, pulumi.Input[str]]:
        return {
            "Name": f"{prefix}-{name}",
            "dairflow:stack": stack,
            "dairflow:cluster": cluster_id,
        }

    return Naming(prefix=prefix, tags=tags)

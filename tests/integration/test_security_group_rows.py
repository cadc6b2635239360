"""Every swarm row of the table is needed in the security group: without it, its purpose fails.

The two machines are instances of the cloud in ``tests/aws``: they boot with the user data of
``target: aws``, and moto's security group is enforced around them. Their own firewalls, loaded as
ever, have the whole table. The tests run from top to bottom.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from aws_cloud.hypervisor import Cloud, security_group_rules

from infra import credentials, firewall
from infra.firewall import Policy
from infra.images import engine as operators_engine
from infra.images import project_images, registry
from infra.machines.cloud_config import cloud_config
from infra.remote.keys import generate_key_pair
from infra.remote.machine import Machine
from infra.remote.pool import SshPool
from infra.remote.runner import RemoteError
from infra.swarm.cluster import Cluster
from infra.swarm.reconcile import reconcile
from tests.integration.test_firewall_rows import (
    PROBE_IMAGE,
    across_the_overlay,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

VPC_CIDR = "10.216.0.0/16"
GOSSIP_SOURCE_PORT = 40_000
COUNT = f"""
table ip probe {{
    chain input {{
        type filter hook input priority -200;
        udp sport {GOSSIP_SOURCE_PORT} udp dport 7946 counter
    }}
}}
"""
SEND = f"""
use Socket;
socket(my $udp, PF_INET, SOCK_DGRAM, 0) or die;
bind($udp, pack_sockaddr_in({GOSSIP_SOURCE_PORT}, INADDR_ANY)) or die;
send($udp, "x", 0, pack_sockaddr_in($ARGV[1], inet_aton($ARGV[0]))) or die;
"""


class Pair:
    """A manager and a worker behind one security group."""

    def __init__(self, cloud: Cloud) -> None:
        """Make network, group and instances, as the program does."""
        self.cloud = cloud
        self.ec2 = cloud.server.client()
        self.policy = Policy(operator_cidrs=(cloud.operator_cidr,), client_cidrs=())
        self.operator = generate_key_pair()
        subnet, vpc = self._network()
        made = self.ec2.create_security_group(GroupName="pair", Description="pair", VpcId=vpc)
        self.group = made["GroupId"]
        self.allow_all_rows()
        self.manager, self.worker = (
            self._machine(name, subnet) for name in ("manager-1", "worker-1")
        )
        self.pool = SshPool(self.operator.private, connect_timeout=90)
        self.certificate = credentials.registry_certificate([self.manager.private_address])

    def allow_all_rows(self, *, but: str = "") -> None:
        """Render the table as the group's rules, without the row of that name."""
        old = [
            rule["SecurityGroupRuleId"]
            for rule in security_group_rules(self.ec2, [self.group])
            if not rule["IsEgress"]
        ]
        if old:
            self.ec2.revoke_security_group_ingress(GroupId=self.group, SecurityGroupRuleIds=old)
        rules = {rule.name: rule for rule in firewall.security_group_rules(self.policy)}
        if but:
            del rules[but]
        for rule in rules.values():
            permission: dict[str, Any] = {
                "IpProtocol": rule.protocol,
                "FromPort": rule.from_port,
                "ToPort": rule.to_port,
            }
            if rule.cidr:
                permission["IpRanges"] = [{"CidrIp": rule.cidr}]
            else:
                permission["UserIdGroupPairs"] = [{"GroupId": self.group}]
            self.ec2.authorize_security_group_ingress(
                GroupId=self.group, IpPermissions=[permission]
            )
        self.cloud.settle()

    def run(self, machine: Machine, command: str, **options: Any) -> str:
        """Run a command on a machine as root and return what it printed."""
        return self.pool.runner(machine).run(command, **options).stdout

    def join(self) -> None:
        """Bring the two into one swarm; a worker that is in one leaves it before."""
        self.run(self.worker, "docker swarm leave --force", check=False)
        address = f"{self.manager.private_address}:{registry.PORT}"
        cluster = Cluster(
            name="pair",
            machines=(self.manager, self.worker),
            firewall=self.policy,
            trusted_registries={address: self.certificate.authority},
        )
        reconcile(cluster, self.pool, print)

    def _network(self) -> tuple[str, str]:
        vpc = self.ec2.create_vpc(CidrBlock=VPC_CIDR)["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.216.0.0/20")["Subnet"]["SubnetId"]
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
        )
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return subnet, vpc

    def _machine(self, name: str, subnet: str) -> Machine:
        host_key = generate_key_pair()
        (made,) = self.ec2.run_instances(
            ImageId="ami-00000000000000001",
            MinCount=1,
            MaxCount=1,
            UserData=cloud_config(
                hostname=name,
                user="admin",
                host_key=host_key.private,
                host_public_key=host_key.public,
                authorized_key=self.operator.public,
            ),
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnet,
                    "Groups": [self.group],
                    "AssociatePublicIpAddress": True,
                }
            ],
        )["Instances"]
        return Machine(
            name=name,
            role="manager" if name.startswith("manager") else "worker",
            address=self.cloud.instances()[made["InstanceId"]]["PublicIpAddress"],
            private_address=made["PrivateIpAddress"],
            host_key=host_key.public,
            user="admin",
        )


@pytest.fixture(scope="module")
def pair(test_mark: str, node_image: str) -> Iterator[Pair]:
    del node_image  # the fences are made of it
    cloud = Cloud("eu-central-1", VPC_CIDR, f"{test_mark}-{os.getpid()}")
    try:
        yield Pair(cloud)
    finally:
        print(cloud.logs()[-3000:])  # noqa: T201 - pytest shows it when a test fails
        cloud.close()
    assert cloud.problems == []


@pytest.fixture(scope="module")
def joined(pair: Pair, probe_image: bytes) -> Pair:
    """The pair in one swarm, every row open, both with the probe image."""
    pair.allow_all_rows()
    pair.join()
    for machine in (pair.manager, pair.worker):
        pair.run(machine, f"docker import - {PROBE_IMAGE}", stdin=probe_image)
    return pair


def first_gossip_arrives(pair: Pair) -> bool:
    """Send a datagram of its own connection to the manager's gossip port, and count it there."""
    pair.run(pair.manager, "nft -f -", stdin=COUNT.encode())
    pair.run(pair.worker, f"perl -e '{SEND}' {pair.manager.private_address} 7946")
    counted = pair.run(pair.manager, "sleep 0.5; nft list table ip probe")
    pair.run(pair.manager, "nft delete table ip probe")
    return "counter packets 1 " in counted


def test_without_2377_tcp_nobody_joins(pair: Pair) -> None:
    pair.allow_all_rows(but="tcp-2377-members")
    with pytest.raises(RemoteError, match=r"(?s)worker-1 .*joined the swarm.*:2377 can be reached"):
        pair.join()


def test_with_every_row_all_of_it_works(joined: Pair) -> None:
    assert across_the_overlay(joined, joined.manager, joined.worker) == "welcome"


def test_without_4789_udp_the_overlay_carries_nothing(joined: Pair) -> None:
    joined.allow_all_rows(but="udp-4789-members")
    assert across_the_overlay(joined, joined.manager, joined.worker) == "silence"


def test_without_7946_udp_no_gossip_begins(joined: Pair) -> None:
    """Engines gossip from port 7946 to port 7946, so once both have sent something, tracking
    accepts each as the other's answer, with EC2's groups too: what the row opens is the first
    packet.
    """
    joined.allow_all_rows()
    assert first_gossip_arrives(joined)
    joined.allow_all_rows(but="udp-7946-members")
    assert not first_gossip_arrives(joined)


def test_without_5000_tcp_nobody_pulls(joined: Pair) -> None:
    joined.allow_all_rows()
    spec = registry.RegistrySpec(
        image=project_images.reference("registry"),
        certificate=joined.certificate.certificate,
        private_key=joined.certificate.private_key,
        password="password",
    )
    runner = joined.pool.runner(joined.manager)
    registry.ensure(runner, spec, save_image=lambda: operators_engine.archive(spec.image))
    image = f"{joined.manager.private_address}:{registry.PORT}/probe:1"
    user = registry.user_of("password")
    sign_in = f"docker login -u {user} --password-stdin {image.partition('/')[0]}"
    joined.run(joined.manager, sign_in, stdin=b"password")
    joined.run(joined.manager, f"docker tag {PROBE_IMAGE} {image} && docker push -q {image}")
    joined.run(joined.worker, sign_in, stdin=b"password")
    pull = f"timeout 8 docker pull -q {image}"
    joined.run(joined.worker, pull)
    joined.run(joined.worker, f"docker rmi {image}")
    joined.allow_all_rows(but="tcp-5000-members")
    with pytest.raises(RemoteError):
        joined.run(joined.worker, pull)
    joined.allow_all_rows()
    joined.run(joined.worker, pull)


def test_without_7946_tcp_no_overlay_spreads_to_a_new_node(joined: Pair) -> None:
    joined.allow_all_rows(but="tcp-7946-members")
    joined.join()
    assert across_the_overlay(joined, joined.manager, joined.worker) != "welcome"

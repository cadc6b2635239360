"""Gives every instance that moto lists a body, and takes it away with the instance.

A body is a plain Debian container that boots with the instance's user data, at the instance's
private address. Its network belongs to another container, the fence, in which the security groups'
rules are loaded before the body's first instruction. This machine reaches a body by the instance's
public address, which is translated as an internet gateway does.
"""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import tarfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from aws_cloud.groups import Fence, ruleset
from aws_cloud.images import IMAGE as REGISTRY_IMAGE
from aws_cloud.images import ImageService
from aws_cloud.server import PUBLIC_NETWORK, Server
from infra.images import project_images
from infra.machines import node_container

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BODY_IMAGE = "dairflow-test/ec2:trixie"
FENCE_IMAGE = project_images.reference("node")
"""It has nft."""
LABEL = "dairflow.ec2"
TABLE = "dairflow_ec2"
"""This machine's rules for public addresses: those of a cloud that was killed are replaced."""
SEED = "/var/lib/cloud/seed/nocloud"
_PAUSE_SECONDS = 0.5
_ALIVE = ("pending", "running")


class Cloud:
    """moto's server and the machines behind it."""

    def __init__(self, region: str, vpc_cidr: str, mark: str) -> None:
        """``vpc_cidr`` is the VPC's; ``mark`` labels this cloud's containers."""
        self.server = Server(region)
        self.vpc_cidr = vpc_cidr
        self.mark = mark
        self.problems: list[str] = []
        self.images: ImageService | None = None
        self._client = docker.from_env(timeout=120)
        self._ec2 = self.server.client()
        self._bodies: dict[str, _Body] = {}
        self._gateway = ""
        self._looks = 0
        self._ended = threading.Event()
        self._client.images.build(
            path=str(Path(__file__).parents[1] / "body"), tag=BODY_IMAGE, rm=True
        )
        self._network = self._client.networks.create(
            self.name,
            driver="bridge",
            labels={LABEL: mark},
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=vpc_cidr, gateway=self._router())]),
        )
        self._host = self._helper("gateway", network_mode="host")
        self._thread = threading.Thread(target=self._tend, daemon=True)
        self._thread.start()

    def serve_images(self) -> None:
        """Have ECR in this cloud, for the instances that are made from now on."""
        router = self._router()
        address = str(IPv4Network(self.vpc_cidr)[-6])
        self.images = ImageService(self.server, router=router, address=address)
        self._start(
            "registry",
            address=address,
            files=self.images.registry_files,
            image=REGISTRY_IMAGE,
            network=self.name,
            environment=dict(self.images.registry_environment),
        )
        self.images.announce()

    @property
    def name(self) -> str:
        """What every container's name begins with."""
        return f"dairflow-ec2-{self.mark}"

    @property
    def operator_cidr(self) -> str:
        """Where this machine's packets to a public address come from."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((f"{PUBLIC_NETWORK}.1", 9))
            return f"{probe.getsockname()[0]}/32"

    def container(self, instance_id: str) -> Any:
        """Return an instance's body."""
        return self._client.containers.get(self._bodies[instance_id].container.id)

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return every instance that has not ended, by the end of its name."""
        alive = [i for i in _instances(self._ec2) if i["State"]["Name"] in _ALIVE]
        return {_tags(i).get("Name", i["InstanceId"]): i for i in alive}

    def logs(self) -> str:
        """Return the logs of all bodies."""
        return "\n".join(
            f"== {identity}\n{body.container.logs().decode(errors='replace')}"
            for identity, body in self._bodies.items()
        )

    def close(self) -> None:
        """Remove everything."""
        self._ended.set()
        self._thread.join()  # a look under way may be removing bodies
        with contextlib.suppress(APIError):
            self._host.exec_run(["nft", "delete", "table", "ip", TABLE])
        ours = {"label": f"{LABEL}={self.mark}"}
        containers = self._client.containers.list(all=True, filters=ours)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda one: one.remove(force=True, v=True), containers))
        for volume in self._client.volumes.list(filters=ours):
            volume.remove()
        if self.images:
            self.images.close()
        self._network.remove()
        self._client.images.remove(BODY_IMAGE, noprune=True)
        self._client.close()
        self.server.close()

    def _router(self) -> str:
        return str(IPv4Network(self.vpc_cidr)[1])

    def settle(self) -> None:
        """Wait until every body and rule is as moto has them now."""
        begun = self._looks
        while self._looks < begun + 2:  # the look that is under way may have begun before
            assert self._thread.is_alive(), self.problems
            time.sleep(_PAUSE_SECONDS / 5)

    def _tend(self) -> None:
        while not self._ended.wait(_PAUSE_SECONDS):
            try:
                self._look()
                self._looks += 1
            except Exception:  # noqa: BLE001 - a thread's error would be lost
                self.problems.append(traceback.format_exc())
                return

    def _look(self) -> None:
        instances = {i["InstanceId"]: i for i in _instances(self._ec2)}
        alive = {key: i for key, i in instances.items() if i["State"]["Name"] in _ALIVE}
        for identity in self._bodies.keys() - alive.keys():
            self._bodies.pop(identity).remove()
        fences = self._fences(alive)
        new = alive.keys() - self._bodies.keys()
        with ThreadPoolExecutor(8) as threads:
            made = {key: threads.submit(self._make, alive[key], fences[key]) for key in new}
        for identity, body in made.items():
            self._bodies[identity] = body.result()
        for identity, body in self._bodies.items():
            body.enforce(fences[identity])
        self._translate(alive)

    def _fences(self, alive: Mapping[str, Any]) -> dict[str, str]:
        """Return each instance's rules as they are now."""
        if not alive:
            return {}
        members: dict[str, list[str]] = {}
        for instance in alive.values():
            for group in _groups(instance):
                members.setdefault(group, []).append(instance["PrivateIpAddress"])
        rules = security_group_rules(self._ec2, members)
        routed = self._routed_subnets()
        return {
            identity: ruleset(
                Fence(
                    vpc_cidr=self.vpc_cidr,
                    has_internet=instance["SubnetId"] in routed and "PublicIpAddress" in instance,
                    rules=[r for r in rules if r["GroupId"] in _groups(instance)],
                    members=members,
                    metadata=self.images.metadata if self.images else "",
                )
            )
            for identity, instance in alive.items()
        }

    def _routed_subnets(self) -> set[str]:
        """Return the subnets whose route table leads to an internet gateway that is attached."""
        attached = {
            gateway["InternetGatewayId"]
            for gateway in self._ec2.describe_internet_gateways()["InternetGateways"]
            if gateway["Attachments"]
        }
        return {
            association["SubnetId"]
            for table in self._ec2.describe_route_tables()["RouteTables"]
            if any(route.get("GatewayId") in attached for route in table["Routes"])
            for association in table["Associations"]
            if "SubnetId" in association
        }

    def _make(self, instance: Mapping[str, Any], rules: str) -> _Body:
        identity = instance["InstanceId"]
        fence = self._helper(
            f"{identity}-fence",
            network=self.name,
            address=instance["PrivateIpAddress"],
            extra_hosts=self.images.hosts if self.images else {},
        )
        fenced = _Body(self._client, fence, rules)
        asked = self._ec2.describe_instance_attribute(InstanceId=identity, Attribute="userData")
        user_data = base64.b64decode(asked["UserData"].get("Value", ""))
        files = {
            **(self.images.files if self.images else {}),
            f"{SEED}/user-data": user_data,
            f"{SEED}/meta-data": f"instance-id: {identity}\nlocal-hostname: {identity}\n".encode(),
        }
        fenced.boot(f"{self.name}-{identity}", {LABEL: self.mark}, files)
        return fenced

    def _helper(self, name: str, *, address: str = "", **options: Any) -> Any:
        """Start a container that only waits, and may change its network's rules."""
        waiting = {
            "image": FENCE_IMAGE,
            "command": ["sleep", "infinity"],
            "entrypoint": [],
            "cap_add": ["NET_ADMIN"],
            "init": True,
        }
        return self._start(name, address=address, **waiting, **options)

    def _start(
        self, name: str, *, address: str, files: Mapping[str, bytes] | None = None, **options: Any
    ) -> Any:
        helper = self._client.containers.create(
            name=f"{self.name}-{name}", labels={LABEL: self.mark}, **options
        )
        if files:
            helper.put_archive("/", _archive(files))
        if address:
            self._network.disconnect(helper)
            self._network.connect(helper, ipv4_address=address)
        helper.start()
        return helper

    def _translate(self, alive: Mapping[str, Any]) -> None:
        """Let this machine reach the instances by their public addresses."""
        pairs = sorted(
            f"ip daddr {i['PublicIpAddress']} dnat to {i['PrivateIpAddress']}"
            for i in alive.values()
            if "PublicIpAddress" in i
        )
        lines = "\n        ".join(pairs)
        script = f"""\
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    chain output {{
        type nat hook output priority -100; policy accept;
        {lines}
    }}
}}
"""
        if script != self._gateway:
            _load(self._host, script)
            self._gateway = script


class _Body:
    """One instance's two containers."""

    def __init__(self, client: docker.DockerClient, fence: Any, rules: str) -> None:
        self._client = client
        self._fence = fence
        self._loaded = ""
        self.container: Any = None
        self.enforce(rules)

    def enforce(self, rules: str) -> None:
        if rules != self._loaded:
            _load(self._fence, rules)
            self._loaded = rules

    def boot(self, name: str, labels: Mapping[str, str], files: Mapping[str, bytes]) -> None:
        self._client.volumes.create(name, labels=dict(labels))
        options = node_container.create_options(
            hostname="",
            network=f"container:{self._fence.id}",
            address="",
            volume=name,
            ports={},
            labels=labels,
            cgroup_version=str(self._client.info().get("CgroupVersion", "1")),
            image=BODY_IMAGE,
        )
        del options["Hostname"], options["NetworkingConfig"], options["ExposedPorts"]
        del options["HostConfig"]["PortBindings"]
        self.container = node_container.create(self._client, name, options)
        self.container.put_archive("/", _archive(files))
        self.container.start()

    def remove(self) -> None:
        for container in (self.container, self._fence):
            if container is not None:
                with contextlib.suppress(NotFound):
                    container.remove(force=True, v=True)
        if self.container is not None:
            with contextlib.suppress(NotFound):
                self._client.volumes.get(self.container.name).remove()


def _load(container: Any, script: str) -> None:
    done = container.exec_run(
        ["sh", "-c", 'printf %s "$RULES" | nft -f -'], environment={"RULES": script}
    )
    if done.exit_code != 0:
        message = f"nft refused: {done.output.decode()}\n{script}"
        raise RuntimeError(message)


def _archive(contents: Mapping[str, bytes]) -> bytes:
    """Pack files by their absolute paths."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _instances(ec2: Any) -> list[dict[str, Any]]:
    pages = ec2.get_paginator("describe_instances").paginate()
    return [i for page in pages for r in page["Reservations"] for i in r["Instances"]]


def security_group_rules(ec2: Any, groups: Iterable[str]) -> list[dict[str, Any]]:
    """Return the groups' rules; moto lists none without a group's ID."""
    filters = [{"Name": "group-id", "Values": list(groups)}]
    return ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]


def _groups(instance: Mapping[str, Any]) -> set[str]:
    return {g["GroupId"] for i in instance["NetworkInterfaces"] for g in i["Groups"]}


def _tags(thing: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}

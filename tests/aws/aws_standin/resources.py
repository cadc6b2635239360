"""The served types: each by those calls of the official plugin that change a thing."""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

Inputs = Mapping[str, Any]
Clients = Callable[[str], Any]
"""Gives the boto3 client of a service."""
_DESCRIPTION = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}\Z")


class RefusedError(Exception):
    """EC2 would refuse it, or the stand-in does not serve it."""


class Kind(ABC):
    """One type. A method gets plain inputs, and returns the outputs that EC2 adds to them."""

    TOKEN: ClassVar[str]
    INPUTS: ClassVar[frozenset[str]]
    REPLACED_BY: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change makes a new one; any other change but the tags' is refused."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients

    @property
    def ec2(self) -> Any:
        return self.clients("ec2")

    @abstractmethod
    def create(self, inputs: Inputs) -> str:
        """Make it; return its ID."""

    @abstractmethod
    def read(self, identity: str) -> Inputs | None:
        """Return its outputs; None where there is no such thing."""

    @abstractmethod
    def delete(self, identity: str, state: Inputs) -> None:
        """Remove it."""

    def update(self, identity: str, old: Inputs, new: Inputs) -> None:
        """Change it in place."""
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        if changed - {"tags"}:
            message = f"an update of {', '.join(sorted(changed))} is not served"
            raise RefusedError(message)
        gone = [{"Key": k} for k in old.get("tags", {}).keys() - new.get("tags", {}).keys()]
        if gone:
            self.ec2.delete_tags(Resources=[identity], Tags=gone)
        self.ec2.create_tags(Resources=[identity], Tags=_tag_list(new.get("tags", {})))


class Vpc(Kind):
    TOKEN = "aws:ec2/vpc:Vpc"
    INPUTS = frozenset({"cidrBlock", "enableDnsSupport", "enableDnsHostnames", "tags"})
    REPLACED_BY = frozenset({"cidrBlock"})

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_vpc(CidrBlock=inputs["cidrBlock"], **_tagged("vpc", inputs))
        identity = made["Vpc"]["VpcId"]
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            attribute = {name[0].upper() + name[1:]: {"Value": inputs[name]}}
            self.ec2.modify_vpc_attribute(VpcId=identity, **attribute)
        return identity

    def read(self, identity: str) -> Inputs | None:
        found = _found(self.ec2.describe_vpcs, "Vpcs", VpcIds=[identity])
        return found and {"cidrBlock": found["CidrBlock"]}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_vpc(VpcId=identity)


class InternetGateway(Kind):
    TOKEN = "aws:ec2/internetGateway:InternetGateway"
    INPUTS = frozenset({"vpcId", "tags"})

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_internet_gateway(**_tagged("internet-gateway", inputs))
        identity = made["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
        return identity

    def read(self, identity: str) -> Inputs | None:
        found = _found(
            self.ec2.describe_internet_gateways, "InternetGateways", InternetGatewayIds=[identity]
        )
        return found and {}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=state["vpcId"])
        self.ec2.delete_internet_gateway(InternetGatewayId=identity)


class RouteTable(Kind):
    TOKEN = "aws:ec2/routeTable:RouteTable"
    INPUTS = frozenset({"vpcId", "tags"})
    REPLACED_BY = frozenset({"vpcId"})

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_route_table(VpcId=inputs["vpcId"], **_tagged("route-table", inputs))
        return made["RouteTable"]["RouteTableId"]

    def read(self, identity: str) -> Inputs | None:
        found = _found(self.ec2.describe_route_tables, "RouteTables", RouteTableIds=[identity])
        return found and {}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_route_table(RouteTableId=identity)


class Route(Kind):
    TOKEN = "aws:ec2/route:Route"
    INPUTS = frozenset({"routeTableId", "destinationCidrBlock", "gatewayId"})
    REPLACED_BY = frozenset({"routeTableId", "destinationCidrBlock"})

    def create(self, inputs: Inputs) -> str:
        self.ec2.create_route(
            RouteTableId=inputs["routeTableId"],
            DestinationCidrBlock=inputs["destinationCidrBlock"],
            GatewayId=inputs["gatewayId"],
        )
        return f"{inputs['routeTableId']}_{inputs['destinationCidrBlock']}"

    def read(self, identity: str) -> Inputs | None:
        table, _, destination = identity.partition("_")
        found = _found(self.ec2.describe_route_tables, "RouteTables", RouteTableIds=[table])
        routes = found["Routes"] if found else []
        there = any(route.get("DestinationCidrBlock") == destination for route in routes)
        return {} if there else None

    def delete(self, identity: str, state: Inputs) -> None:
        table, _, destination = identity.partition("_")
        self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)


class Subnet(Kind):
    TOKEN = "aws:ec2/subnet:Subnet"
    INPUTS = frozenset({"vpcId", "availabilityZone", "cidrBlock", "tags"})
    REPLACED_BY = frozenset({"vpcId", "availabilityZone", "cidrBlock"})

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_subnet(
            VpcId=inputs["vpcId"],
            AvailabilityZone=inputs["availabilityZone"],
            CidrBlock=inputs["cidrBlock"],
            **_tagged("subnet", inputs),
        )
        return made["Subnet"]["SubnetId"]

    def read(self, identity: str) -> Inputs | None:
        found = _found(self.ec2.describe_subnets, "Subnets", SubnetIds=[identity])
        return found and {"availabilityZone": found["AvailabilityZone"]}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_subnet(SubnetId=identity)


class RouteTableAssociation(Kind):
    TOKEN = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    INPUTS = frozenset({"subnetId", "routeTableId"})
    REPLACED_BY = frozenset({"subnetId"})

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.associate_route_table(
            SubnetId=inputs["subnetId"], RouteTableId=inputs["routeTableId"]
        )
        return made["AssociationId"]

    def read(self, identity: str) -> Inputs | None:
        name = "association.route-table-association-id"
        filters = [{"Name": name, "Values": [identity]}]
        found = self.ec2.describe_route_tables(Filters=filters)["RouteTables"]
        return {} if found else None

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.disassociate_route_table(AssociationId=identity)


class SecurityGroup(Kind):
    TOKEN = "aws:ec2/securityGroup:SecurityGroup"
    INPUTS = frozenset({"name", "description", "vpcId", "tags"})
    REPLACED_BY = frozenset({"name", "description", "vpcId"})

    def create(self, inputs: Inputs) -> str:
        _check_description(inputs["description"])
        made = self.ec2.create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            VpcId=inputs["vpcId"],
            **_tagged("security-group", inputs),
        )
        # The rule that lets everything out is EC2's own; the official plugin takes it away.
        every = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.ec2.revoke_security_group_egress(GroupId=made["GroupId"], IpPermissions=[every])
        return made["GroupId"]

    def read(self, identity: str) -> Inputs | None:
        found = _found(self.ec2.describe_security_groups, "SecurityGroups", GroupIds=[identity])
        return found and {}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_security_group(GroupId=identity)


class _Rule(Kind):
    INPUTS = frozenset(
        {
            *("securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4"),
            *("referencedSecurityGroupId", "description", "tags"),
        }
    )
    REPLACED_BY = INPUTS - {"tags"}
    DIRECTION: ClassVar[str]

    def create(self, inputs: Inputs) -> str:
        _check_description(inputs.get("description", ""))
        permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
        for name, key in (("fromPort", "FromPort"), ("toPort", "ToPort")):
            if name in inputs:
                permission[key] = int(inputs[name])
        described = {"Description": inputs["description"]} if "description" in inputs else {}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
        if "referencedSecurityGroupId" in inputs:
            group = inputs["referencedSecurityGroupId"]
            permission["UserIdGroupPairs"] = [{"GroupId": group, **described}]
        authorize = getattr(self.ec2, f"authorize_security_group_{self.DIRECTION}")
        made = authorize(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[permission],
            **_tagged("security-group-rule", inputs),
        )
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def read(self, identity: str) -> Inputs | None:
        found = _found(
            self.ec2.describe_security_group_rules,
            "SecurityGroupRules",
            SecurityGroupRuleIds=[identity],
        )
        return found and {"securityGroupRuleId": identity}

    def delete(self, identity: str, state: Inputs) -> None:
        revoke = getattr(self.ec2, f"revoke_security_group_{self.DIRECTION}")
        revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identity])


class IngressRule(_Rule):
    TOKEN = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    DIRECTION = "ingress"


class EgressRule(_Rule):
    TOKEN = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    DIRECTION = "egress"


class Instance(Kind):
    TOKEN = "aws:ec2/instance:Instance"
    INPUTS = frozenset(
        {
            *("ami", "instanceType", "subnetId", "vpcSecurityGroupIds", "userData", "tags"),
            *("associatePublicIpAddress", "rootBlockDevice", "metadataOptions"),
            *("instanceMarketOptions", "disableApiTermination", "iamInstanceProfile"),
        }
    )
    REPLACED_BY = frozenset(
        {"ami", "subnetId", "associatePublicIpAddress", "instanceMarketOptions"}
    )

    def create(self, inputs: Inputs) -> str:
        root, metadata = inputs["rootBlockDevice"], inputs["metadataOptions"]
        image = self.ec2.describe_images(ImageIds=[inputs["ami"]])["Images"][0]
        more: dict[str, Any] = {}
        if "iamInstanceProfile" in inputs:
            more["IamInstanceProfile"] = {"Name": inputs["iamInstanceProfile"]}
        if "instanceMarketOptions" in inputs:
            market = inputs["instanceMarketOptions"]
            spot = market["spotOptions"]
            more["InstanceMarketOptions"] = {
                "MarketType": market["marketType"],
                "SpotOptions": {
                    "SpotInstanceType": spot["spotInstanceType"],
                    "InstanceInterruptionBehavior": spot["instanceInterruptionBehavior"],
                },
            }
        made = self.ec2.run_instances(
            ImageId=inputs["ami"],
            InstanceType=inputs["instanceType"],
            MinCount=1,
            MaxCount=1,
            UserData=inputs["userData"],
            DisableApiTermination=inputs.get("disableApiTermination", False),
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": inputs["subnetId"],
                    "Groups": inputs["vpcSecurityGroupIds"],
                    "AssociatePublicIpAddress": inputs["associatePublicIpAddress"],
                    "DeleteOnTermination": True,  # EC2's default, and not moto's
                }
            ],
            BlockDeviceMappings=[
                {
                    "DeviceName": image["RootDeviceName"],
                    "Ebs": {
                        "VolumeType": root["volumeType"],
                        "VolumeSize": int(root["volumeSize"]),
                        "Encrypted": root["encrypted"],
                        "DeleteOnTermination": root["deleteOnTermination"],
                    },
                }
            ],
            MetadataOptions={
                "HttpEndpoint": metadata["httpEndpoint"],
                "HttpTokens": metadata["httpTokens"],
                "HttpPutResponseHopLimit": int(metadata["httpPutResponseHopLimit"]),
            },
            **_tagged("instance", inputs),
            **more,
        )
        identity = made["Instances"][0]["InstanceId"]
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[identity])
        devices = self._instance(identity)["BlockDeviceMappings"]
        volumes = [device["Ebs"]["VolumeId"] for device in devices]
        self.ec2.create_tags(Resources=volumes, Tags=_tag_list(root["tags"]))
        return identity

    def read(self, identity: str) -> Inputs | None:
        found = self._instance(identity)
        if not found or found["State"]["Name"] in ("terminated", "shutting-down"):
            return None
        return {
            "privateIp": found["PrivateIpAddress"],
            "publicIp": found.get("PublicIpAddress", ""),
            "availabilityZone": found["Placement"]["AvailabilityZone"],
            "instanceState": found["State"]["Name"],
        }

    def update(self, identity: str, old: Inputs, new: Inputs) -> None:
        key = "disableApiTermination"
        if old.get(key, False) != new.get(key, False):
            value = {"Value": new.get(key, False)}
            self.ec2.modify_instance_attribute(InstanceId=identity, DisableApiTermination=value)
        if old.get("iamInstanceProfile") != new.get("iamInstanceProfile"):
            self._take_profile(identity, new.get("iamInstanceProfile"))
        served = {key, "iamInstanceProfile"}
        super().update(
            identity,
            {k: v for k, v in old.items() if k not in served},
            {k: v for k, v in new.items() if k not in served},
        )

    def _take_profile(self, identity: str, name: str | None) -> None:
        filters = [{"Name": "instance-id", "Values": [identity]}]
        found = self.ec2.describe_iam_instance_profile_associations(Filters=filters)
        for association in found["IamInstanceProfileAssociations"]:
            self.ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
        if name:
            profile = {"Name": name}
            self.ec2.associate_iam_instance_profile(InstanceId=identity, IamInstanceProfile=profile)

    def delete(self, identity: str, state: Inputs) -> None:
        with contextlib.suppress(ClientError):  # the official plugin goes on, too
            unprotected = {"Value": False}
            self.ec2.modify_instance_attribute(
                InstanceId=identity, DisableApiTermination=unprotected
            )
        found = self._instance(identity)
        if found and found.get("InstanceLifecycle") == "spot":
            request = found.get("SpotInstanceRequestId")  # which moto does not give
            self.ec2.cancel_spot_instance_requests(
                SpotInstanceRequestIds=[request] if request else []
            )
        self.ec2.terminate_instances(InstanceIds=[identity])
        self.ec2.get_waiter("instance_terminated").wait(InstanceIds=[identity])

    def _instance(self, identity: str) -> Any:
        found = _found(self.ec2.describe_instances, "Reservations", InstanceIds=[identity])
        return found and found["Instances"][0]


def get_ami(ec2: Any, arguments: Inputs) -> Inputs:
    """Serve ``aws:ec2/getAmi:getAmi``: the newest image that fits."""
    served = {"owners", "mostRecent", "filters"}
    if refused := arguments.keys() - served:
        message = f"getAmi's {', '.join(sorted(refused))}: not served"
        raise RefusedError(message)
    filters = [{"Name": f["name"], "Values": f["values"]} for f in arguments["filters"]]
    images = ec2.describe_images(Owners=arguments["owners"], Filters=filters)["Images"]
    if not images:
        message = "Your query returned no results. Please change your search criteria."
        raise RefusedError(message)
    newest = max(images, key=lambda image: image["CreationDate"])
    return {**arguments, "id": newest["ImageId"], "imageId": newest["ImageId"]}


def _found(describe: Any, key: str, **which: Any) -> Any:
    try:
        found = describe(**which)[key]
    except ClientError as error:
        if ".NotFound" in error.response["Error"]["Code"]:
            return None
        raise
    return found[0] if found else None


def _check_description(text: str) -> None:
    if not _DESCRIPTION.match(text):
        message = f"InvalidParameterValue: EC2 refuses the description {text!r}"
        raise RefusedError(message)


def _tagged(kind: str, inputs: Inputs) -> dict[str, Any]:
    tags = _tag_list(inputs.get("tags", {}))
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]

"""The served types: each by those calls of the official plugin that change a thing."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
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
        """Return its outputs, and its inputs as AWS has them; None if there is no such thing."""

    @abstractmethod
    def delete(self, identity: str, state: Inputs) -> None:
        """Remove it."""

    def replaced_sometimes(
        self, changed: AbstractSet[str], old: Inputs, new: Inputs
    ) -> AbstractSet[str]:
        """Return those of the changes that make a new one in this case, not in every one."""
        return frozenset()

    def update(self, identity: str, changed: AbstractSet[str], old: Inputs, new: Inputs) -> None:
        """Change it in place; ``changed`` are the paths of inputs."""
        if "tags" in changed:
            self.retag(identity, old.get("tags", {}), new.get("tags", {}))
        if changed - {"tags"}:
            self.modify(identity, changed - {"tags"}, new)

    def retag(self, identity: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Change the tags of a thing of EC2's."""
        gone = [{"Key": key} for key in old.keys() - new.keys()]
        if gone:
            self.ec2.delete_tags(Resources=[identity], Tags=gone)
        self.ec2.create_tags(Resources=[identity], Tags=tag_list(new))

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        """Change inputs other than tags."""
        message = f"an update of {', '.join(sorted(changed))} is not served"
        raise RefusedError(message)


class Vpc(Kind):
    TOKEN = "aws:ec2/vpc:Vpc"

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_vpc(CidrBlock=inputs["cidrBlock"], **tagged("vpc", inputs))
        identity = made["Vpc"]["VpcId"]
        for name in ("enableDnsSupport", "enableDnsHostnames"):
            attribute = {name[0].upper() + name[1:]: {"Value": inputs[name]}}
            self.ec2.modify_vpc_attribute(VpcId=identity, **attribute)
        return identity

    def read(self, identity: str) -> Inputs | None:
        found = found_one(self.ec2.describe_vpcs, "Vpcs", VpcIds=[identity])
        return found and {"cidrBlock": found["CidrBlock"], "tags": tags_of(found)}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_vpc(VpcId=identity)


class InternetGateway(Kind):
    TOKEN = "aws:ec2/internetGateway:InternetGateway"

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_internet_gateway(**tagged("internet-gateway", inputs))
        identity = made["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
        return identity

    def read(self, identity: str) -> Inputs | None:
        found = found_one(
            self.ec2.describe_internet_gateways, "InternetGateways", InternetGatewayIds=[identity]
        )
        return found and {"tags": tags_of(found)}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.detach_internet_gateway(InternetGatewayId=identity, VpcId=state["vpcId"])
        self.ec2.delete_internet_gateway(InternetGatewayId=identity)


class RouteTable(Kind):
    TOKEN = "aws:ec2/routeTable:RouteTable"

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_route_table(VpcId=inputs["vpcId"], **tagged("route-table", inputs))
        return made["RouteTable"]["RouteTableId"]

    def read(self, identity: str) -> Inputs | None:
        found = found_one(self.ec2.describe_route_tables, "RouteTables", RouteTableIds=[identity])
        return found and {"vpcId": found["VpcId"], "tags": tags_of(found)}

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_route_table(RouteTableId=identity)


class Route(Kind):
    TOKEN = "aws:ec2/route:Route"

    def create(self, inputs: Inputs) -> str:
        self.ec2.create_route(
            RouteTableId=inputs["routeTableId"],
            DestinationCidrBlock=inputs["destinationCidrBlock"],
            GatewayId=inputs["gatewayId"],
        )
        return f"{inputs['routeTableId']}_{inputs['destinationCidrBlock']}"

    def read(self, identity: str) -> Inputs | None:
        table, _, destination = identity.partition("_")
        found = found_one(self.ec2.describe_route_tables, "RouteTables", RouteTableIds=[table])
        routes = found["Routes"] if found else []
        for route in routes:
            if route.get("DestinationCidrBlock") == destination:
                return {"gatewayId": route["GatewayId"]}
        return None

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        self.ec2.replace_route(
            RouteTableId=new["routeTableId"],
            DestinationCidrBlock=new["destinationCidrBlock"],
            GatewayId=new["gatewayId"],
        )

    def delete(self, identity: str, state: Inputs) -> None:
        table, _, destination = identity.partition("_")
        self.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=destination)


class Subnet(Kind):
    TOKEN = "aws:ec2/subnet:Subnet"

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.create_subnet(
            VpcId=inputs["vpcId"],
            AvailabilityZone=inputs["availabilityZone"],
            CidrBlock=inputs["cidrBlock"],
            **tagged("subnet", inputs),
        )
        return made["Subnet"]["SubnetId"]

    def read(self, identity: str) -> Inputs | None:
        found = found_one(self.ec2.describe_subnets, "Subnets", SubnetIds=[identity])
        return found and {
            "availabilityZone": found["AvailabilityZone"],
            "cidrBlock": found["CidrBlock"],
            "vpcId": found["VpcId"],
            "tags": tags_of(found),
        }

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_subnet(SubnetId=identity)


class RouteTableAssociation(Kind):
    TOKEN = "aws:ec2/routeTableAssociation:RouteTableAssociation"

    def create(self, inputs: Inputs) -> str:
        made = self.ec2.associate_route_table(
            SubnetId=inputs["subnetId"], RouteTableId=inputs["routeTableId"]
        )
        return made["AssociationId"]

    def read(self, identity: str) -> Inputs | None:
        name = "association.route-table-association-id"
        filters = [{"Name": name, "Values": [identity]}]
        found = self.ec2.describe_route_tables(Filters=filters)["RouteTables"]
        return {"routeTableId": found[0]["RouteTableId"]} if found else None

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        self.ec2.replace_route_table_association(
            AssociationId=identity, RouteTableId=new["routeTableId"]
        )

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.disassociate_route_table(AssociationId=identity)


class SecurityGroup(Kind):
    TOKEN = "aws:ec2/securityGroup:SecurityGroup"

    def create(self, inputs: Inputs) -> str:
        _check_description(inputs["description"])
        made = self.ec2.create_security_group(
            GroupName=inputs["name"],
            Description=inputs["description"],
            VpcId=inputs["vpcId"],
            **tagged("security-group", inputs),
        )
        # The rule that lets everything out is EC2's own; the official plugin removes it.
        every = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.ec2.revoke_security_group_egress(GroupId=made["GroupId"], IpPermissions=[every])
        return made["GroupId"]

    def read(self, identity: str) -> Inputs | None:
        found = found_one(self.ec2.describe_security_groups, "SecurityGroups", GroupIds=[identity])
        return found and {
            "name": found["GroupName"],
            "description": found["Description"],
            "vpcId": found["VpcId"],
            "tags": tags_of(found),
        }

    def delete(self, identity: str, state: Inputs) -> None:
        self.ec2.delete_security_group(GroupId=identity)


_RULE_KEYS = {
    "fromPort": "FromPort",
    "toPort": "ToPort",
    "cidrIpv4": "CidrIpv4",
    "referencedSecurityGroupId": "ReferencedGroupId",
    "description": "Description",
}
"""Input → key of EC2's rule."""


class _Rule(Kind):
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
            **tagged("security-group-rule", inputs),
        )
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def read(self, identity: str) -> Inputs | None:
        found = found_one(
            self.ec2.describe_security_group_rules,
            "SecurityGroupRules",
            SecurityGroupRuleIds=[identity],
        )
        if not found:
            return None
        reference = found.get("ReferencedGroupInfo", {}).get("GroupId")
        listed = {
            "securityGroupRuleId": identity,
            "securityGroupId": found["GroupId"],
            "ipProtocol": found["IpProtocol"],
            "fromPort": found.get("FromPort"),
            "toPort": found.get("ToPort"),
            "cidrIpv4": found.get("CidrIpv4"),
            "referencedSecurityGroupId": reference,
            "description": found.get("Description"),
            "tags": tags_of(found),
        }
        # EC2 returns -1 for the ports of a rule without ports.
        return {k: v for k, v in listed.items() if v is not None and v != -1}

    def replaced_sometimes(
        self, changed: AbstractSet[str], old: Inputs, new: Inputs
    ) -> AbstractSet[str]:
        """A rule keeps its kind of source for life."""
        sources = {"cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"}
        return changed & sources if sources & old.keys() != sources & new.keys() else frozenset()

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        rule: dict[str, Any] = {"IpProtocol": new["ipProtocol"]}
        for name, key in _RULE_KEYS.items():
            if name in new:
                rule[key] = int(new[name]) if name.endswith("Port") else new[name]
        self.ec2.modify_security_group_rules(
            GroupId=new["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": identity, "SecurityGroupRule": rule}],
        )

    def delete(self, identity: str, state: Inputs) -> None:
        revoke = getattr(self.ec2, f"revoke_security_group_{self.DIRECTION}")
        revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identity])


class IngressRule(_Rule):
    TOKEN = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    DIRECTION = "ingress"


class EgressRule(_Rule):
    TOKEN = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    DIRECTION = "egress"


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


def found_one(describe: Any, key: str, **which: Any) -> Any:
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


def tags_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a thing, as AWS lists them."""
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}


def tagged(kind: str, inputs: Inputs) -> dict[str, Any]:
    tags = tag_list(inputs.get("tags", {}))
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]

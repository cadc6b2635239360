"""Every type that is served, by its token."""

from __future__ import annotations

from aws_standin import registry, resources
from aws_standin.instance import Instance

KINDS = {
    kind.TOKEN: kind
    for kind in (
        *(resources.Vpc, resources.InternetGateway, resources.RouteTable, resources.Route),
        *(resources.Subnet, resources.RouteTableAssociation, resources.SecurityGroup),
        *(resources.IngressRule, resources.EgressRule, Instance),
        *(registry.Repository, registry.LifecyclePolicy),
        *(registry.Role, registry.RolePolicy, registry.InstanceProfile),
    )
}

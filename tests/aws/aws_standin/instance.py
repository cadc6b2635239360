"""EC2's instances."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_standin.resources import Inputs, Kind, RefusedError, found_one, tag_list, tagged, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet


class Instance(Kind):
    TOKEN = "aws:ec2/instance:Instance"

    def create(self, inputs: Inputs) -> str:
        root, metadata = inputs["rootBlockDevice"], inputs["metadataOptions"]
        image = self.ec2.describe_images(ImageIds=[inputs["ami"]])["Images"][0]
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
            MetadataOptions=_metadata(metadata),
            **tagged("instance", inputs),
            **_optional(inputs),
        )
        identity = made["Instances"][0]["InstanceId"]
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[identity])
        volume = self._volume(self._instance(identity))
        self.ec2.create_tags(Resources=[volume["VolumeId"]], Tags=tag_list(root["tags"]))
        return identity

    def read(self, identity: str) -> Inputs | None:
        found = self._instance(identity)
        if not found or found["State"]["Name"] in ("terminated", "shutting-down"):
            return None
        self.ec2.get_instance_uefi_data(InstanceId=identity)  # as the official plugin does
        (interface,) = found["NetworkInterfaces"]
        (device,) = found["BlockDeviceMappings"]
        volume = self._volume(found)
        protection = self.ec2.describe_instance_attribute(
            InstanceId=identity, Attribute="disableApiTermination"
        )
        profile = found.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]
        metadata = found["MetadataOptions"]
        return {
            "privateIp": found["PrivateIpAddress"],
            "publicIp": found.get("PublicIpAddress", ""),
            "availabilityZone": found["Placement"]["AvailabilityZone"],
            "instanceState": found["State"]["Name"],
            "ami": found["ImageId"],
            "instanceType": found["InstanceType"],
            "subnetId": interface["SubnetId"],
            "associatePublicIpAddress": bool(interface.get("Association")),
            "vpcSecurityGroupIds": sorted(group["GroupId"] for group in found["SecurityGroups"]),
            "disableApiTermination": protection["DisableApiTermination"]["Value"],
            "iamInstanceProfile": profile,
            "metadataOptions": {
                "httpEndpoint": metadata.get("HttpEndpoint", "enabled"),
                "httpTokens": metadata["HttpTokens"],
                "httpPutResponseHopLimit": metadata["HttpPutResponseHopLimit"],
            },
            "rootBlockDevice": {
                "deleteOnTermination": device["Ebs"]["DeleteOnTermination"],
                "encrypted": volume["Encrypted"],
                "volumeSize": volume["Size"],
                "volumeType": volume["VolumeType"],
                "tags": tags_of(volume),
            },
            "tags": tags_of(found),
        }

    def replaced_sometimes(
        self, changed: AbstractSet[str], old: Inputs, new: Inputs
    ) -> AbstractSet[str]:
        """An instance keeps its architecture for life."""
        if "instanceType" not in changed:
            return frozenset()
        both = [self._architectures(each["instanceType"]) for each in (old, new)]
        return frozenset() if both[0] & both[1] else {"instanceType"}

    def modify(self, identity: str, changed: AbstractSet[str], new: Inputs) -> None:
        parts = {path.partition(".")[0] for path in changed}
        ways = {
            "disableApiTermination": self._set_protection,
            "iamInstanceProfile": self._set_profile,
            "instanceType": self._set_type,
            "metadataOptions": self._set_metadata,
            "rootBlockDevice": self._set_root,
            "vpcSecurityGroupIds": self._set_groups,
        }
        if parts - ways.keys():
            message = f"an update of {', '.join(sorted(parts - ways.keys()))} is not served"
            raise RefusedError(message)
        for part in sorted(parts):
            ways[part](identity, new)

    def delete(self, identity: str, state: Inputs) -> None:
        with contextlib.suppress(ClientError):  # the official plugin goes on, too
            self._set_protection(identity, state)
        found = self._instance(identity)
        if found and found.get("InstanceLifecycle") == "spot":
            request = found.get("SpotInstanceRequestId")  # which moto does not give
            self.ec2.cancel_spot_instance_requests(
                SpotInstanceRequestIds=[request] if request else []
            )
        self.ec2.terminate_instances(InstanceIds=[identity])
        self.ec2.get_waiter("instance_terminated").wait(InstanceIds=[identity])

    def _set_protection(self, identity: str, new: Inputs) -> None:
        value = {"Value": new.get("disableApiTermination", False)}
        self.ec2.modify_instance_attribute(InstanceId=identity, DisableApiTermination=value)

    def _set_profile(self, identity: str, new: Inputs) -> None:
        profile = {"Name": new["iamInstanceProfile"]}
        filters = [{"Name": "instance-id", "Values": [identity]}]
        found = self.ec2.describe_iam_instance_profile_associations(Filters=filters)
        there = found["IamInstanceProfileAssociations"]
        if there:
            self.ec2.replace_iam_instance_profile_association(
                AssociationId=there[0]["AssociationId"], IamInstanceProfile=profile
            )
        else:
            self.ec2.associate_iam_instance_profile(InstanceId=identity, IamInstanceProfile=profile)

    def _set_type(self, identity: str, new: Inputs) -> None:
        self.ec2.stop_instances(InstanceIds=[identity])
        self.ec2.get_waiter("instance_stopped").wait(InstanceIds=[identity])
        value = {"Value": new["instanceType"]}
        self.ec2.modify_instance_attribute(InstanceId=identity, InstanceType=value)
        self.ec2.start_instances(InstanceIds=[identity])
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[identity])

    def _set_metadata(self, identity: str, new: Inputs) -> None:
        options = _metadata(new["metadataOptions"])
        self.ec2.modify_instance_metadata_options(InstanceId=identity, **options)

    def _set_groups(self, identity: str, new: Inputs) -> None:
        (interface,) = self._instance(identity)["NetworkInterfaces"]
        self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=new["vpcSecurityGroupIds"]
        )

    def _set_root(self, identity: str, new: Inputs) -> None:
        found, root = self._instance(identity), new["rootBlockDevice"]
        (device,) = found["BlockDeviceMappings"]
        volume = self._volume(found)
        if int(root["volumeSize"]) < volume["Size"]:
            message = "InvalidParameterValue: New size cannot be smaller than existing size"
            raise RefusedError(message)
        if int(root["volumeSize"]) > volume["Size"]:
            self.ec2.modify_volume(VolumeId=volume["VolumeId"], Size=int(root["volumeSize"]))
        if root["deleteOnTermination"] != device["Ebs"]["DeleteOnTermination"]:
            ebs = {"DeleteOnTermination": root["deleteOnTermination"]}
            self.ec2.modify_instance_attribute(
                InstanceId=identity,
                BlockDeviceMappings=[{"DeviceName": device["DeviceName"], "Ebs": ebs}],
            )
        self.retag(volume["VolumeId"], tags_of(volume), root["tags"])

    def _instance(self, identity: str) -> Any:
        found = found_one(self.ec2.describe_instances, "Reservations", InstanceIds=[identity])
        return found and found["Instances"][0]

    def _volume(self, found: Any) -> Any:
        (device,) = found["BlockDeviceMappings"]
        identity = device["Ebs"]["VolumeId"]
        return found_one(self.ec2.describe_volumes, "Volumes", VolumeIds=[identity])

    def _architectures(self, instance_type: str) -> set[str]:
        found = self.ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
        return set(found[0]["ProcessorInfo"]["SupportedArchitectures"])


def _metadata(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "HttpEndpoint": options["httpEndpoint"],
        "HttpTokens": options["httpTokens"],
        "HttpPutResponseHopLimit": int(options["httpPutResponseHopLimit"]),
    }


def _optional(inputs: Inputs) -> dict[str, Any]:
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
    return more

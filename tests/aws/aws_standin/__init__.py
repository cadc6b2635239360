"""A stand-in for Pulumi's ``aws`` plugin: the few types of the ``aws`` target, over boto3.

It is for tests alone: `AWS_ENDPOINT_URL` names a moto server. What the installed ``pulumi_aws``
does not have, and what is not served, is refused by name.
"""

"""A stand-in for Pulumi's ``docker`` resource plugin, for networks that cannot download it.

It serves ``docker:index/image:Image`` and the provider's ``host`` over the same protocol and the
same state as the official plugin, and refuses everything else by name.
"""

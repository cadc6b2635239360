"""Hosts that answer the project's own commands over real SSH, without engines or kernels behind.

`model` is what a host and its swarm are, `commands` what they answer to which command, `server`
the SSH servers, and ``python -m benchmarks.simulator`` the process that has hundreds of them.
"""

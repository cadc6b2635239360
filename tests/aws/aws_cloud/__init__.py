"""A cloud on this machine: moto answers EC2's API, and each instance has a container for a body."""

"""The infrastructure: settings, machines, the swarm on them, and the stack on the swarm."""

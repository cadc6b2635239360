"""A Docker swarm on machines: facts, then a plan, then its steps, then verified facts."""

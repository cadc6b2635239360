"""Sets up a Docker swarm on machines: facts, then a plan, then its steps, then verified facts.

`reconcile`, `observe` and `dismantle` are modules named after their one function.
"""

"""Deploys ``docker-compose.yaml`` to a swarm as a stack, and removes it.

`compose_file` reads and checks the compose file, `render` renders the stack document, `deploy`
deploys it through a runner of a manager (`infra.remote.runner`) and waits until Airflow is healthy,
`remove` removes it. Independent of Pulumi. Import from the modules.
"""

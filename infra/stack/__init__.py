"""From ``docker-compose.yaml`` to Airflow running on a swarm, and away again.

`compose_file` reads the compose file and checks it, `render` turns it into a stack document,
`deploy` brings it up over a runner of a manager (`infra.remote.runner`) and waits until Airflow is
healthy, `remove` takes it away. Nothing here knows Pulumi. Import from the modules: each names one
thing.
"""

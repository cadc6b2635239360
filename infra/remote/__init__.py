"""Commands and files on machines over SSH. Knows nothing of Pulumi or of swarm."""

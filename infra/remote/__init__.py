"""Runs commands and writes files on machines over SSH. Independent of Pulumi and swarm."""

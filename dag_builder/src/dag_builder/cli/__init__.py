"""The command line ``dag-builder``."""

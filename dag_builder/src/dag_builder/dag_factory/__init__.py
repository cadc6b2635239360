"""Converts dag-factory's YAML files."""

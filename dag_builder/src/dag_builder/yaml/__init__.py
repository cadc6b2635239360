"""Reads YAML files of DAGs and describes them to editors."""

"""Checks DAGs against the description of a cluster."""

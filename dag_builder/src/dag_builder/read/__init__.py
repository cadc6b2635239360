"""Reads a dictionary into a plan and reports every mistake in it."""

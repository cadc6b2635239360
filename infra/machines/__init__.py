"""Targets, from which machines come. Every target returns a ``Fleet``."""

"""The ``local`` target: the machines are containers on this machine."""

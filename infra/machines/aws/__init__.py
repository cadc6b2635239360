"""The ``aws`` target: the machines are EC2 instances."""

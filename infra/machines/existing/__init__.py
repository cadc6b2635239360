"""The ``existing`` target: the machines are hosts that the user has SSH to."""

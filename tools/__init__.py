"""Set-up: finds, gets or builds what the project needs, with the standard library alone."""

"""Read, check and report the stack's settings."""

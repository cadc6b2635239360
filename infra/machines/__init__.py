"""Where machines come from. Every target returns the same thing: a ``Fleet``."""

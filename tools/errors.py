"""The one error that set-up shows to its user."""


class SetupError(Exception):
    """Set-up cannot continue.

    Its text is printed as it is: what was tried, what came back, and what to type next.
    """

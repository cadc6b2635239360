"""The root of every error whose text is for users."""


class UserError(Exception):
    """Something a user can correct. The text says what, and what to do next.

    Pulumi shows the text alone; any other exception is a bug, and keeps its traceback.
    """

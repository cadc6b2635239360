"""Root of all errors whose text is shown to users."""


class UserError(Exception):
    """An error that a user can fix. The text has the cause and the next step.

    Pulumi shows only the text; any other exception is a bug, and keeps its traceback.
    """

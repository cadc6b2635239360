"""Set-up: finds, gets or builds what the project needs, with the standard library alone."""

import sys

# First of all, and here: an older Python cannot even read the other modules.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "Python 3.11 or newer is needed, and this is {}.{}. Install one, and name it: "
        "make PYTHON=python3.11 …".format(*sys.version_info)
    )

"""``python -m dag_builder`` is ``dag-builder``."""

import sys

from dag_builder.cli.main import main

sys.exit(main())

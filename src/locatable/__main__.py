"""Run the command line with `python -m locatable`, just like `locatable`."""

import sys

from .cli import main

sys.exit(main())

"""`python -m locatable` is the same as `locatable`."""

import sys

from .cli import main

sys.exit(main())

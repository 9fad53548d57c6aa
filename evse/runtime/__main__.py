"""``python -m evse.runtime``."""

import sys

from evse.runtime.main import main

sys.exit(main())

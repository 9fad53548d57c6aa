"""``python -m evse.sim``."""

import sys

from evse.sim.main import main

sys.exit(main())

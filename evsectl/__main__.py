"""``python -m evsectl``."""

import sys

from evsectl.entry import main

sys.exit(main())

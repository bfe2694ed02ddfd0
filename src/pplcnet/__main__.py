"""`python -m pplcnet` is the same as the command `pplcnet`."""

import sys

from pplcnet.cli.main import main

sys.exit(main())

"""python -m fewstep is the command `fewstep`."""

import sys

from fewstep.cli.main import main

sys.exit(main())

"""`python -m deepfake_uncertainty`."""

import sys

from deepfake_uncertainty.cli import main

sys.exit(main())

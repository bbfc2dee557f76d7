"""``python -m swotvre_catalogs``: see :mod:`swotvre_catalogs.commands`."""

import sys

from swotvre_catalogs.commands import main

if __name__ == "__main__":  # the workers of a build import this module as well
    sys.exit(main())

"""`python -m local_stack`: the `springtide` command."""

import sys

from local_stack.command import main

if __name__ == "__main__":
    sys.exit(main())

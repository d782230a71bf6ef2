"""The command ``python -m fbnetv3_runtime``."""

from . import main

main()

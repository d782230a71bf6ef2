"""The command ``python -m fbnetv3_runtime``."""

from .command import main

main()

"""How much of what takes minutes is tried: all of it with THOROUGH=1."""

import os


def amount(usual, thorough):
    """Return ``usual``, or ``thorough`` where ``THOROUGH`` is set."""
    return thorough if os.environ.get('THOROUGH') else usual

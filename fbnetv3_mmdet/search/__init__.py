"""Search of an architecture and a recipe under limits (NARS)."""

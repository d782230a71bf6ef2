"""Short lines for messages."""


def name_of(given: object) -> str:
    """Return a path, or what else was given, in one short line."""
    if isinstance(given, bytes):
        return f'what was given in {len(given)} bytes'
    text = str(given)
    text = text if text.splitlines() == [text] else repr(text)
    return text if len(text) <= 400 else f'{text[:400]}...'


def one_line(error: Exception) -> str:
    """Return an error's message in one short line."""
    text = ' '.join(f'{error}'.split()) or type(error).__name__
    return text if len(text) <= 400 else f'{text[:400]}...'

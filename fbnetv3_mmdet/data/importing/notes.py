"""What an import mended, counted."""

from __future__ import annotations

from ..annotations.findings import NUM_EXAMPLES, show


class Notes:
    """Counts what was mended, with a few examples of each kind."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, kind: str, *examples: object, count: int = 1) -> None:
        """Count something of a kind.

        Args:
            kind: In words, such as 'area derived'.
            examples: What it was, as the files say; None is not shown.
            count: How many times at once; nothing where it is 0.
        """
        if not count:
            return
        self._counts[kind] = self._counts.get(kind, 0) + count
        known = self._examples.setdefault(kind, [])
        for example in examples:
            is_new = example is not None and show(example) not in known
            if is_new and len(known) < NUM_EXAMPLES:
                known.append(show(example))

    def __getitem__(self, kind: str) -> int:
        """Return how many there were of a kind."""
        return self._counts.get(kind, 0)

    @property
    def lines(self) -> list[str]:
        """A line for each kind."""
        lines = []
        for kind, count in self._counts.items():
            examples = self._examples[kind]
            more = ['...'] if examples and count > len(examples) else []
            about = f' ({", ".join(examples + more)})' if examples else ''
            lines.append(f'{count} x {kind}{about}')
        return lines

"""What an exported file says of itself."""

from __future__ import annotations

import json

KEY = 'fbnetv3'  # of the metadata in a file
FORMAT = 1  # of the metadata
OUTPUTS = {'boxes', 'scores', 'labels', 'masks', 'images'}  # of a network
MAX_BATCH = 256  # images that a network takes at the same time
MAX_SIDE = 8192  # px, of a network's input


def parse_metadata(text: str | None) -> dict:
    """Return metadata that has what the runtime reads.

    Args:
        text: JSON, what a file has under :data:`KEY`; None: nothing.

    Raises:
        ValueError: It is missing, damaged or of another format.
    """
    if text is None:
        raise ValueError(f'it has no metadata of the name {KEY}')
    metadata = json.loads(text)
    number = metadata.get('format') if isinstance(metadata, dict) else None
    if number != FORMAT:
        raise ValueError(
            f'its metadata has format {number!r}, and this fbnetv3_runtime '
            f'reads {FORMAT}'
        )
    try:
        right = _is_right(metadata)
    except (KeyError, TypeError):
        right = False
    if not right:
        raise ValueError('its metadata is damaged')
    return metadata


def _is_right(metadata: dict) -> bool:
    resize, size = metadata['resize'], metadata['size'] or [1, 1]
    sides = [*resize['scale'], *size]
    return (
        type(metadata['classes']) is list
        and {type(name) for name in metadata['classes']} == {str}
        and resize['keep_ratio'] is True
        and [len(resize['scale']), len(size)] == [2, 2]
        and all(type(s) is int and 0 < s <= MAX_SIDE for s in sides)
        and len(metadata['mean']) == 3
        and all(0 <= value <= 255 for value in metadata['mean'])
        and 0 <= (metadata['mask_thr'] or 0) <= 1
        and metadata['score_thr'] <= 1
        and type(metadata.get('batch', 1)) is int
        and 0 <= metadata.get('batch', 1) <= MAX_BATCH
        and type(metadata.get('max_per_img', 1)) is int
        and (metadata.get('brightest') or 1) > 0
    )

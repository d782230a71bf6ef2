"""Reading an annotation file that may be hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...files import memory_limit

SECTIONS = ('images', 'annotations', 'categories')


# pycocotools reads what Python takes for text by itself
BOMS = (b'\xef\xbb\xbf', b'\xff\xfe', b'\xfe\xff')


def read_annotations(path: str, is_labelled: bool = True) -> dict[str, Any]:
    """Return the content of an annotation file.

    Args:
        path: Of the file.
        is_labelled: Whether it must have annotations and categories, as
            public test sets do not; an empty list stands for what is missing.

    Raises:
        ValueError: It is missing, no JSON, too large for the memory or too
            deeply nested, or has not the lists of COCO's format.
    """
    fault = None
    try:
        with memory_limit():
            data = json.loads(Path(path).read_bytes())
    except OSError as error:
        fault = f'cannot be read ({error.strerror})'
    except ValueError as error:
        fault = f'is not JSON ({error})'
    except RecursionError:
        fault = 'is nested too deeply'
    except MemoryError:
        fault = 'is too large for the memory that is free'
    else:
        if not is_labelled and isinstance(data, dict):
            data = dict(annotations=[], categories=[]) | data
        for section in SECTIONS:
            if not isinstance(data, dict) or not isinstance(
                data.get(section), list
            ):
                fault = f'has no list of {section}'
                break
    if fault:
        raise ValueError(
            f'{path!r} {fault}; give an annotation file in the JSON format '
            'of COCO'
        )
    return data

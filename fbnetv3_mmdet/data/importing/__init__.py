"""Import of labels from any tool into the folder that configs expect.

:func:`import_dataset` recognises the format, and a reader of it returns the
labels as raw as they are, in COCO's terms (:class:`.parts.Part`). All formats
are mended alike (:mod:`.mending`), and the folder is written whole or not at
all. :func:`fix_file` mends a single file in COCO's format.

The readers are our own. Of the 25 exports by which this was built, which
labelling tools wrote wrongly in ways that they do, supervision 0.31 fails on
four and loses the objects of a fifth, reads corners as sides, and has
float32 boxes and pixel masks in between; datumaro 1.13 reads one. Neither
tells what it left out.
"""

from .importing import (
    Imported,
    Options,
    fix_file,
    import_dataset,
    open_source,
)

__all__ = ['Imported', 'Options', 'fix_file', 'import_dataset', 'open_source']

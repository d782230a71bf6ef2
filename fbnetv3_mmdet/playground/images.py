"""Pictures as the page takes them."""

from __future__ import annotations

import base64
import io

from PIL import Image


def jpeg(picture: Image.Image) -> str:
    """Return a picture as a JPEG, in base 64."""
    file = io.BytesIO()
    picture.convert('RGB').save(file, 'JPEG', quality=88)
    return base64.b64encode(file.getvalue()).decode()

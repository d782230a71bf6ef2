"""fbnetv3_runtime reads images as OpenCV does, or says why not."""

import io
import re
import struct
import zlib

import mmcv
import numpy as np
import pytest
import torch
from PIL import Image

from fbnetv3_runtime import read_image

pytestmark = pytest.mark.same_on_upstream


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC)


def with_alpha(image, mode):
    image = image.convert(mode)
    image.putalpha(Image.linear_gradient('L').resize(image.size))
    return image


def sixteen_bits(image):
    red = np.asarray(image, np.uint16)[..., 0]
    return Image.fromarray(257 * red + 128)


@pytest.mark.parametrize(
    ('name', 'convert'),
    [
        ('rgb.png', lambda image: image),
        ('rgb.jpg', lambda image: image),
        ('rgb.tif', lambda image: image),
        ('rgb.webp', lambda image: image),
        ('grey.png', lambda image: image.convert('L')),
        ('grey.jpg', lambda image: image.convert('L')),
        ('black-and-white.png', lambda image: image.convert('1')),
        ('palette.png', lambda image: image.convert('P')),
        ('alpha.png', lambda image: with_alpha(image, 'RGBA')),
        ('grey-alpha.png', lambda image: with_alpha(image, 'LA')),
        ('16.png', sixteen_bits),
        ('16.tif', sixteen_bits),
    ],
)
def test_modes(name, convert, photo, tmp_path):
    file = tmp_path / name
    convert(photo).save(file)
    expected = mmcv.imread(file, channel_order='rgb')
    found = read_image(file)
    assert found.mode == 'RGB'
    assert (np.asarray(found) == expected).all()
    pixels = np.asarray(found)
    backwards = np.ascontiguousarray(pixels[:, ::-1])
    for same in (str(file), Image.open(file), pixels, backwards[:, ::-1]):
        assert (np.asarray(read_image(same)) == pixels).all()


def test_cmyk(photo, tmp_path):
    file = tmp_path / 'cmyk.jpg'
    photo.convert('CMYK').save(file)
    expected = mmcv.imread(file, channel_order='rgb').astype(int)
    difference = np.asarray(read_image(file)) - expected
    assert abs(difference).max() <= 1  # OpenCV rounds down


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'tif'])
def test_orientation(orientation, suffix, photo, tmp_path):
    file = tmp_path / f'photo.{suffix}'
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(file, exif=exif)
    expected = mmcv.imread(file, channel_order='rgb')
    assert expected.shape[0] == (60 if orientation < 5 else 80)
    assert (np.asarray(read_image(file)) == expected).all()
    assert (np.asarray(read_image(Image.open(file))) == expected).all()


def chunk(name, data):
    body = name + data
    return struct.pack('>I', len(data)) + body + struct.pack(
        '>I', zlib.crc32(body)
    )  # fmt: skip


def png_of(width, height):
    """Return a whole PNG file of a few bytes that claims this size."""
    header = struct.pack('>IIBBBBB', width, height, 1, 0, 0, 0, 0)
    chunks = (b'IHDR', header), (b'IDAT', zlib.compress(b'')), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*pair) for pair in chunks)


def test_unreadable_files(photo, tmp_path):
    photo.save(tmp_path / 'whole.jpg')
    whole = (tmp_path / 'whole.jpg').read_bytes()
    fractions = Image.new('F', (4, 4))
    fractions.save(tmp_path / 'fractions.tif')
    Image.new('I', (4, 4), 200).save(tmp_path / 'integers.tif')
    (tmp_path / 'cut.jpg').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'bomb.png').write_bytes(png_of(20_000, 20_000))
    for name, reason in {
        'missing.png': 'No such file',
        '.': 'Is a directory',
        'cut.jpg': 'image file is truncated',
        'empty.png': 'none of the formats that Pillow reads',
        'text.png': 'none of the formats that Pillow reads',
        'bomb.png': 'exceeds limit of .* could be decompression bomb',
        'fractions.tif': 'its values are fractions, of no known range',
        'integers.tif': 'its values are of 32 bits, of no known range',
    }.items():
        file = tmp_path / name
        with pytest.raises(ValueError) as caught:
            read_image(file)
        message = str(caught.value)
        assert message.startswith(f'{file} is no readable image: ')
        assert '\n' not in message
        caught.match(reason)


def cut_off(photo, folder):
    photo.save(folder / 'x.png')
    whole = (folder / 'x.png').read_bytes()
    return Image.open(io.BytesIO(whole[: len(whole) // 2]))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda photo, folder: [photo], 'an image of type list is no picture'),
        (lambda photo, folder: photo.tobytes(), 'what was given in 14400 '),
        (lambda photo, folder: None, 'an image of type NoneType is no pict'),
        (
            lambda photo, folder: torch.zeros(1000, 3),
            'an image of type Tensor is no picture; give a path, bytes, a fi',
        ),
        (lambda photo, folder: 'a' * 5000, 'a{400}... is no readable image: '),
        (lambda photo, folder: '1\n2.png', r"'1\\n2.png' is no readable im"),
        (cut_off, '<PIL.PngImage.*> is no readable image: .* truncated'),
        (
            lambda photo, folder: Image.new('RGB', (0, 5)),
            '<PIL.Image.* size=0x5 .*> is no readable image: it has no pixels',
        ),
        (
            lambda photo, folder: Image.new('I', (4, 4), 200),
            '<PIL.Image.*> is no readable image: its values are of 32 bits',
        ),
    ],
    ids=range(9),
)
def test_no_pictures(make, message, photo, tmp_path):
    with pytest.raises(ValueError) as caught:
        read_image(make(photo, tmp_path))
    text = str(caught.value)
    assert re.match(message, text)
    assert '\n' not in text and len(text) < 1000


@pytest.mark.parametrize(
    'array',
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f'{array.dtype}{array.shape}',
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(ValueError, match=r'is no picture; give \(height, wi'):
        read_image(array)

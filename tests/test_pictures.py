"""What is a whole picture, and which way round it is read."""

import io
import struct

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image, ImageOps

from fbnetv3_mmdet.data import (
    MAX_PIXELS,
    BrokenPicture,
    LoadWholePicture,
)
from fbnetv3_mmdet.data.annotations import Defect
from fbnetv3_mmdet.data.annotations.entries import Picture
from fbnetv3_mmdet.data.doctor.pictures import inspect
from fbnetv3_mmdet.data.pictures import decode_picture
from fbnetv3_runtime.images import read_photo

WIDTH, HEIGHT = SIZE = (24, 16)
LEFT, RIGHT = (200, 40, 90), (20, 160, 220)  # RGB of its halves


def picture(size=SIZE):
    """A picture whose halves have two colours."""
    image = Image.new('RGB', size, LEFT)
    image.paste(RIGHT, (size[0] // 2, 0, *size))
    return image


def noise(size=SIZE):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))


def encode(image, kind, **options):
    """Return the bytes of a picture's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep():
    """Return a picture of 16 bit a pixel."""
    grey = np.asarray(picture().convert('L'), np.uint16)
    return encode(Image.fromarray(grey * 257), 'PNG')


FINE = dict(quality=95, subsampling=0)
WHOLE = {  # content of a file; whether its colours are grey
    'jpeg': (encode(picture(), 'JPEG', **FINE), False),
    'progressive': (encode(picture(), 'JPEG', progressive=True, **FINE), 0),
    'data behind': (encode(picture(), 'JPEG', **FINE) + b'video' * 99, False),
    'png': (encode(picture(), 'PNG'), False),
    'bmp': (encode(picture(), 'BMP'), False),
    'tiff': (encode(picture(), 'TIFF'), False),
    'webp': (encode(picture(), 'WEBP', lossless=True), False),
    'gif': (encode(picture().quantize(2), 'GIF'), False),
    'palette': (encode(picture().quantize(2), 'PNG'), False),
    'alpha': (encode(picture().convert('RGBA'), 'PNG'), False),
    'cmyk': (encode(picture().convert('CMYK'), 'JPEG', **FINE), False),
    'grey jpeg': (encode(picture().convert('L'), 'JPEG', **FINE), True),
    'grey png': (encode(picture().convert('L'), 'PNG'), True),
    'grey alpha': (encode(picture().convert('LA'), 'PNG'), True),
    '16 bit': (deep(), True),
}


def load(content, folder, loader=None, **known):
    """Load a file as a training does; with what is known of its size."""
    path = folder / 'picture'
    path.write_bytes(content)
    loader = loader or LoadWholePicture(LoadImageFromFile(), MAX_PIXELS)
    return loader(dict(img_path=str(path), **known))


@pytest.mark.parametrize('name', WHOLE)
def test_whole_pictures_are_read_as_mmdetection_does(name, tmp_path):
    content, is_grey = WHOLE[name]
    known = dict(width=WIDTH, height=HEIGHT)
    found = load(content, tmp_path, **known)
    plain = load(content, tmp_path, LoadImageFromFile(), **known)
    assert np.array_equal(found.pop('img'), pixels := plain.pop('img'))
    assert found == plain
    assert found['ori_shape'] == found['img_shape'] == (HEIGHT, WIDTH)
    for column, rgb in ((4, LEFT), (20, RIGHT)):
        if is_grey:  # ITU-R BT.601
            rgb = [np.dot(rgb, (0.299, 0.587, 0.114))] * 3
        # OpenCV's arithmetic of CMYK is its own
        near = 14 if name == 'cmyk' else 3
        assert pixels[8, column, ::-1].tolist() == pytest.approx(rgb, abs=near)


@pytest.mark.parametrize('size', [(64, 1), (1, 64), (1, 1), (500, 1)])
@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_thin_pictures_are_read(size, kind, tmp_path):
    found = load(encode(Image.new('RGB', size, LEFT), kind), tmp_path)
    assert found['img'].shape == (*size[::-1], 3)
    assert found['img'][0, 0, ::-1].tolist() == pytest.approx(LEFT, abs=3)


def test_arguments_of_the_loader_hold(tmp_path):
    plain = LoadImageFromFile(to_float32=True, color_type='grayscale')
    loader = LoadWholePicture(plain, MAX_PIXELS)
    found = load(encode(noise(), 'PNG'), tmp_path, loader)['img']
    assert found.dtype == np.float32 and found.shape == (HEIGHT, WIDTH)
    assert np.array_equal(found, plain(dict(
        img_path=str(tmp_path / 'picture')))['img'])  # fmt: skip


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF'])
def test_no_cut_file_is_read(kind):
    whole = encode(noise(), kind)
    last = 1 if kind == 'GIF' else 0  # a mere end mark
    for length in range(1, len(whole) - last):
        with pytest.raises(BrokenPicture) as caught:
            decode_picture(whole[:length])
        assert caught.value.kind in (Defect.TRUNCATED, Defect.NO_PICTURE)


@pytest.mark.parametrize('missing', [1, 2, 3, 40, 2000])
@pytest.mark.parametrize('tail', [b'', bytes(40), bytes(3000)], ids=len)
def test_cut_jpeg_is_refused_before_opencv_reads_it(missing, tail):
    """Its versions before 4.11 fill what is missing with grey."""
    preview = b'Exif\0\0' + encode(noise((8, 8)), 'JPEG')
    whole = encode(noise((64, 64)), 'JPEG', exif=preview)
    assert decode_picture(whole + tail).shape == (64, 64, 3)
    # zeros are what a download in parts leaves
    with pytest.raises(BrokenPicture, match='its end is missing'):
        decode_picture(whole[:-missing] + tail)


def bomb():
    """Return a small JPEG file that announces 30,000 x 30,000 pixels."""
    content = encode(picture(), 'JPEG')
    place = content.index(b'\xff\xc0') + 5
    sides = struct.pack('>HH', 30_000, 30_000)
    return content[:place] + sides + content[place + 4 :]


@pytest.mark.parametrize(
    'content, kind',
    [
        (b'', 'empty file'),
        (b'<html>404 not found</html>' * 9, 'not an image'),
        (b'%!PS-Adobe-3.0 EPSF-3.0\n', 'not an image'),
        (bytes(999), 'not an image'),
        (bomb(), 'enormous picture'),
        (encode(Image.new('L', (501, 1)), 'PNG'), 'thinner than 1 to 500'),
        # OpenCV reads no TIFF of floats
        (encode(Image.new('F', SIZE), 'TIFF'), 'truncated picture'),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_picture_is_refused(content, kind, tmp_path):
    with pytest.raises(BrokenPicture) as caught:
        load(content, tmp_path)
    assert str(caught.value.kind) == kind
    assert caught.value.file == str(tmp_path / 'picture')


def test_missing_files_are_named(tmp_path):
    loader = LoadWholePicture(LoadImageFromFile(), MAX_PIXELS)
    (tmp_path / 'folder').mkdir()
    for name in ('none.png', 'folder', 'nul\0', 'x' * 999):
        with pytest.raises(BrokenPicture) as caught:
            loader(dict(img_path=f'{tmp_path}/{name}'))
        assert caught.value.kind is Defect.MISSING
        assert caught.value.file == f'{tmp_path}/{name}'


def test_most_pixels_are_a_setting():
    content = encode(picture(), 'PNG')
    assert decode_picture(content, max_pixels=384).shape == (16, 24, 3)
    with pytest.raises(BrokenPicture, match='enormous.*24x16 px'):
        decode_picture(content, max_pixels=383)


def turned(kind, orientation, size=SIZE):
    """Return a file, and its pixels (RGB) as stored and as shown."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    content = encode(noise(size), kind, exif=tags, **(
        dict(lossless=True) if kind == 'WEBP' else {}))  # fmt: skip
    image = Image.open(io.BytesIO(content))
    shown = ImageOps.exif_transpose(image)
    return content, np.asarray(image), np.asarray(shown)


def near(pixels):
    return pytest.approx(pixels.astype(int), abs=1)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_photographs_lie_as_their_boxes_do(kind, orientation):
    content, stored, shown = turned(kind, orientation)
    found = decode_picture(content, shown.shape[1::-1])
    if kind != 'WEBP' or orientation >= 5:  # the size tells
        assert found[..., ::-1] == near(shown)
    if orientation >= 5:
        found = decode_picture(content, stored.shape[1::-1])
        assert found[..., ::-1] == near(stored)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_photographs_are_shown_where_the_size_does_not_tell(orientation):
    content, _, shown = turned('JPEG', orientation)
    assert np.array_equal(decode_picture(content), mmcv.imfrombytes(content))
    assert decode_picture(content)[..., ::-1] == near(shown)
    content, _, shown = turned('JPEG', orientation, (16, 16))
    found = decode_picture(content, (16, 16))
    assert found[..., ::-1] == near(shown)


@pytest.mark.parametrize('size', [(16, 24), (24, 15), (48, 32), (0, 0)])
def test_other_sizes_than_the_files_are_refused(size):
    with pytest.raises(BrokenPicture) as caught:
        decode_picture(encode(picture(), 'PNG'), size)
    assert str(caught.value) == (
        f'size differs from the JSON (24x16 px, not {size[0]}x{size[1]})'
    )


def test_greys_of_12_bits_are_scaled_alike_everywhere(tmp_path):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    file = tmp_path / '12bit.png'
    Image.fromarray(values).save(file)
    expected = np.round(values.astype(float) * 255 / 4095)
    content = file.read_bytes()
    trained = decode_picture(content, (64, 64), brightest=4095)
    assert trained.dtype == np.uint8
    assert (trained == expected[..., None]).all()
    detected = read_photo(file, brightest=4095).picture
    assert (np.asarray(detected) == expected[..., None]).all()
    assert decode_picture(content).max() == 15  # 4095 >> 8


def test_dark_pictures_of_16_bits_are_told_with_their_range(tmp_path):
    picture = Picture(1, 'a.png', 8, 8, True)
    for largest, fault in ((4095, Defect.DARK), (40000, Defect.DEEP)):
        values = np.full((8, 8), largest, np.uint16)
        values[0] = 0
        Image.fromarray(values).save(tmp_path / 'a.png')
        found = inspect(tmp_path / 'a.png', picture)
        assert fault in found.faults
        dark = fault is Defect.DARK
        assert found.about == ('values to 4095' if dark else '')


def test_dark_colors_of_16_bits_are_told(tmp_path):
    """Pillow reads the upper 8 bits, so that 4000 is at most 4095."""
    picture, file = Picture(1, 'a.png', 8, 8, True), tmp_path / 'a.png'
    for largest, fault in ((4000, Defect.DARK_COLOR), (9000, Defect.DEEP)):
        values = np.full((8, 8, 3), largest, np.uint16)
        values[0] = 0
        cv2.imwrite(str(file), values)
        found = inspect(file, picture)
        assert fault in found.faults
        dark = fault is Defect.DARK_COLOR
        assert found.about == ('values to 4095' if dark else '')

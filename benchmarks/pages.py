"""Pages as people photograph them, drawn from digits of MNIST's test set: one function for each kind, with a fixed seed for each page."""
import gzip
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 300, 400
PAPER, PEN = 232.0, 40.0


def read_mnist(folder):
    """The test images [n, 28, 28] and their labels."""
    def read(name, header):
        path = os.path.join(folder, name)
        with (open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz")) as file:
            return np.frombuffer(file.read()[header:], np.uint8)
    return read("t10k-images-idx3-ubyte", 16).reshape(-1, 28, 28), read("t10k-labels-idx1-ubyte", 8)


def write_png(path, pixels):
    """Bytes [h, w] grey or [h, w, 4] RGBA as a PNG file."""
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 6 if pixels.ndim == 3 else 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b""))


class Page:
    """A page's pixels, labels in reading order, and its file's form."""

    def __init__(self, pixels, labels, quality=None):
        self.pixels = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
        self.labels = [str(label) for label in labels]
        self.jpeg = None
        if quality:
            held = io.BytesIO()
            Image.fromarray(self.pixels).save(held, "JPEG", quality=quality)
            self.jpeg = held.getvalue()

    def grey(self):
        """What a reader sees who knows that a transparent ground is not ink: floats [h, w]."""
        if self.jpeg:
            return np.asarray(Image.open(io.BytesIO(self.jpeg)).convert("L"), float)
        if self.pixels.ndim == 3:
            return self.pixels[..., 0] * (self.pixels[..., 3] / 255.0)
        return self.pixels.astype(float)

    def write(self, stem):
        if self.jpeg:
            with open(stem + ".jpg", "wb") as file:
                file.write(self.jpeg)
            return stem + ".jpg"
        write_png(stem + ".png", self.pixels)
        return stem + ".png"


def sampled(image, y, x):
    """The image [28, 28] at fractional places, linearly interpolated; 0 outside."""
    padded = np.pad(image.astype(float), 2)
    y, x = np.clip(y + 2, 0, 30.999), np.clip(x + 2, 0, 30.999)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    v, h = y - top, x - left
    upper = padded[top, left] * (1 - h) + padded[top, left + 1] * h
    return upper * (1 - v) + (padded[top + 1, left] * (1 - h) + padded[top + 1, left + 1] * h) * v


def pen_strokes(image, scale, degrees=0.0):
    """A digit as a pen draws it, 28 * scale pixels wide: 0 paper to 1 ink."""
    edge = np.arange(28 * scale)
    y, x = np.meshgrid((edge + 0.5) / scale - 14, (edge + 0.5) / scale - 14, indexing="ij")
    turn = np.deg2rad(degrees)
    values = sampled(image, np.cos(turn) * y + np.sin(turn) * x + 13.5, np.cos(turn) * x - np.sin(turn) * y + 13.5)
    return np.clip((values / 255 - 0.3) / 0.3, 0, 1)


def neighbours(mask):
    """The eight neighbours of each pixel, clockwise from the one above."""
    p = np.pad(mask, 1)
    return [p[1 + dy:p.shape[0] - 1 + dy, 1 + dx:p.shape[1] - 1 + dx]
            for dy, dx in ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))]


def thinned(mask):
    """The line in the middle of the strokes (Zhang and Suen, "A fast parallel algorithm for thinning digital patterns", 1984)."""
    mask = mask.copy()
    while True:
        changed = False
        for first in (True, False):
            n = neighbours(mask)
            count = sum(p.astype(int) for p in n)
            turns = sum((~n[i] & n[(i + 1) % 8]).astype(int) for i in range(8))
            up, right, down, left = n[0], n[2], n[4], n[6]
            free = ~(up & right & down) & ~(right & down & left) if first else ~(up & right & left) & ~(up & down & left)
            gone = mask & (count >= 2) & (count <= 6) & (turns == 1) & free
            mask &= ~gone
            changed |= gone.any()
        if not changed:
            return mask


def dilated(values, radius):
    """Each pixel becomes the greatest within a disc."""
    padded = np.pad(values, radius)
    result = values.copy()
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius + 1:
                part = padded[radius + dy:radius + dy + values.shape[0], radius + dx:radius + dx + values.shape[1]]
                result = np.maximum(result, part)
    return result


def placed(strokes, random, height=HEIGHT, width=WIDTH, margin=40):
    """Strokes somewhere on a page: ink [h, w]."""
    ink = np.zeros((height, width))
    h, w = strokes.shape
    top, left = random.integers(margin, height - h - margin), random.integers(margin, width - w - margin)
    ink[top:top + h, left:left + w] = strokes
    return ink


def on_paper(ink, paper=PAPER, pen=PEN):
    return paper * (1 - ink) + pen * ink


def ramp(random, shape):
    """0 to 1 from edge to edge in a random direction."""
    y, x = np.mgrid[:shape[0], :shape[1]]
    turn = random.uniform(0, 2 * np.pi)
    return np.clip(0.5 + (x / shape[1] - 0.5) * np.cos(turn) + (y / shape[0] - 0.5) * np.sin(turn), 0, 1)


def noisy(page, random, deviation=4.0):
    return page + random.normal(0, 1, page.shape) * deviation


def plain(image, random):
    """even light, noise of 4 grey levels"""
    return noisy(on_paper(placed(pen_strokes(image, 6), random)), random)


def shadow(image, random):
    """a shadow down to 55 % from edge to edge"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    return noisy(page * (0.55 + 0.45 * ramp(random, page.shape)), random)


def dark_corner(image, random):
    """a corner at 40 % of the light"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    y, x = y - HEIGHT * random.integers(0, 2), x - WIDTH * random.integers(0, 2)
    return noisy(page * (1 - 0.6 * np.exp(-(y * y + x * x) / (2 * 110.0 ** 2))), random)


def local_noise(image, random):
    """noise of 2 to 25 grey levels, different from place to place"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    return noisy(page, random, 2 + 23 * ramp(random, page.shape))


def sparse_noise(image, random):
    """15 % of the pixels off by 3 grey levels"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    return page + 3 * random.choice([-1, 1], page.shape) * (random.random(page.shape) < 0.15)


def faint(image, random):
    """a pencil of 40 grey levels, noise of 4"""
    return noisy(on_paper(placed(pen_strokes(image, 6), random), 225, 185), random)


def jpeg(image, random):
    """JPEG of quality 5 to 95, in a shadow"""
    return shadow(image, random), int(random.integers(5, 96))


def ruled(image, random):
    """ruled paper, lines of 190 on 232"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    lines = page[random.integers(0, 25)::25]
    lines[:] = np.minimum(lines, 190)
    return noisy(page, random)


def squared(image, random):
    """squared paper, lines of 185, 2 pixels wide, turned by up to 2 degrees"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    turn = np.deg2rad(random.uniform(-2, 2))
    lines = ((y * np.cos(turn) + x * np.sin(turn)) % 22 < 2) | ((x * np.cos(turn) - y * np.sin(turn)) % 22 < 2)
    return noisy(np.where(lines, np.minimum(page, 185), page), random)


def dotted(image, random):
    """dotted paper: dots of 120, 3 pixels wide"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return noisy(np.where((y % 20 < 3) & (x % 20 < 3), np.minimum(page, 120), page), random)


def dust(image, random):
    """40 specks of 1 to 6 pixels, some as dark as the pen"""
    page = on_paper(placed(pen_strokes(image, 6), random))
    for _ in range(40):
        y, x, size = random.integers(0, HEIGHT), random.integers(0, WIDTH), random.integers(1, 7)
        page[y:y + size, x:x + size] = np.minimum(page[y:y + size, x:x + size], random.uniform(PEN, 160))
    return noisy(page, random)


def desk(image, random):
    """a darker desk beside the paper, its edge slanting"""
    page = on_paper(placed(pen_strokes(image, 6), random, margin=60))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    turn = np.deg2rad(random.integers(0, 4) * 90 + random.uniform(-8, 8))
    along = (x - WIDTH / 2) * np.cos(turn) + (y - HEIGHT / 2) * np.sin(turn)
    side = np.abs(WIDTH / 2 * np.cos(turn)) + np.abs(HEIGHT / 2 * np.sin(turn))
    return noisy(np.where(along > side - random.uniform(25, 50), random.uniform(30, 160), page), random)


def thin_pen(image, random):
    """strokes 3 pixels wide, a digit of 120"""
    line = thinned(pen_strokes(image, 6) > 0.5).astype(float)
    return noisy(on_paper(placed(dilated(line, 1), random)), random)


def thick_pen(image, random):
    """strokes 10 pixels wider than MNIST's, a digit of 120"""
    return noisy(on_paper(placed(dilated(pen_strokes(image, 6), 5), random)), random)


def rotated(image, random):
    """turned by up to 15 degrees"""
    return noisy(on_paper(placed(pen_strokes(image, 6, random.uniform(-15, 15)), random)), random)


def white_ink(image, random):
    """white ink on a transparent ground"""
    alpha = 255 * placed(pen_strokes(image, 6), random)
    return np.dstack([np.full_like(alpha, 255)] * 3 + [alpha])


def blackboard(image, random):
    """chalk on a blackboard, in a shadow"""
    page = on_paper(placed(pen_strokes(image, 6), random), 50, 210)
    return noisy(page * (0.55 + 0.45 * ramp(random, page.shape)), random)


def large(image, random):
    """a photograph of 1800 x 2400 pixels, out of focus, in a shadow"""
    page = np.kron(on_paper(placed(pen_strokes(image, 6), random)), np.ones((6, 6)))
    for axis in (0, 1):
        page = sum(np.roll(page, shift, axis) for shift in range(-5, 6)) / 11
    return noisy(page * (0.55 + 0.45 * ramp(random, page.shape)), random, 8), 80


def several(images, labels, random):
    """2 to 5 digits in one or two rows, in a shadow"""
    ink = np.zeros((360, 640))
    count = len(labels)
    rows = [count] if count < 4 or random.random() < 0.5 else [count // 2, count - count // 2]
    taken = 0
    for row, digits in enumerate(rows):
        left = random.integers(20, 60)
        for _ in range(digits):
            strokes = pen_strokes(images[taken], 4)
            strokes = strokes[:, strokes.any(0)]
            top = 20 + 160 * row + random.integers(0, 16)
            ink[top:top + strokes.shape[0], left:left + strokes.shape[1]] += strokes
            left += strokes.shape[1] + random.integers(12, 40)
            taken += 1
    page = on_paper(ink)
    return noisy(page * (0.55 + 0.45 * ramp(random, page.shape)), random)


KINDS = {kind.__name__: kind for kind in (
    plain, shadow, dark_corner, local_noise, sparse_noise, faint, jpeg, ruled, squared, dotted, dust, desk, thin_pen, thick_pen,
    rotated, white_ink, blackboard, large, several)}


def page(kind, number, mnist):
    """Page `number` of a kind: the same on every machine."""
    images, labels = mnist
    random = np.random.default_rng([zlib.crc32(kind.encode()), number])
    first = int(random.integers(0, len(images) - 5))
    if kind == "several":
        count = int(random.integers(2, 6))
        return Page(several(images[first:first + count], labels[first:first + count], random), labels[first:first + count])
    drawn = KINDS[kind](images[first], random)
    pixels, quality = drawn if isinstance(drawn, tuple) else (drawn, None)
    return Page(pixels, [labels[first]], quality)

"""The pipeline that a reader of handwriting would try first: the paper by a local percentile, Otsu's threshold, connected parts of at
least a tenth of the largest, and each digit in 20 x 20 of 28 x 28 pixels with its centre of mass in the middle."""
import numpy as np


def interpolated(grid, height, width):
    """A coarse grid of values at the middles of its cells, linearly interpolated to a page."""
    def places(count, size):
        at = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
        low = np.minimum(at.astype(int), max(0, count - 2))
        return low, np.minimum(low + 1, count - 1), at - low
    y0, y1, v = places(grid.shape[0], height)
    x0, x1, h = places(grid.shape[1], width)
    upper = grid[y0][:, x0] * (1 - h) + grid[y0][:, x1] * h
    return upper * (1 - v)[:, None] + (grid[y1][:, x0] * (1 - h) + grid[y1][:, x1] * h) * v[:, None]


def paper(page, cells=6, percentile=85):
    """The paper's brightness: a percentile of each window, the windows twice as wide as their distance."""
    height, width = page.shape
    grid = np.zeros((cells, cells))
    for i in range(cells):
        for j in range(cells):
            y, x = (i + 0.5) * height / cells, (j + 0.5) * width / cells
            window = page[max(0, int(y - height / cells)):int(y + height / cells), max(0, int(x - width / cells)):int(x + width / cells)]
            grid[i, j] = np.percentile(window, percentile)
    return interpolated(grid, height, width)


def otsu(values):
    """The threshold with the largest variance between the two classes."""
    counts, edges = np.histogram(values, 256)
    middles = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return edges[1:][np.nanargmax(variance[:-1])]


def connected(mask):
    """Labels [h, w] of the parts (8 neighbours), from 1; 0 is none. Runs of rows are joined by union-find."""
    parent, runs, before = [], [], []

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        now = []
        for begin, end in zip(edges[::2], edges[1::2]):
            index = len(parent)
            parent.append(index)
            for other, left, right in before:
                if left <= end and begin <= right:
                    parent[root(index)] = root(other)
            now.append((index, begin, end))
            runs.append((y, begin, end))
        before = now
    labels = np.zeros(mask.shape, int)
    for index, (y, begin, end) in enumerate(runs):
        labels[y, begin:end] = root(index) + 1
    return labels


def framed(ink):
    """Ink in MNIST's frame: bytes [28, 28]."""
    ys, xs = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[ys[0]:ys[-1] + 1, xs[0]:xs[-1] + 1]
    height, width = ink.shape
    step = max(height, width) / 20
    fine = max(1, int(np.ceil(8 / step)))
    ink = np.kron(ink, np.ones((fine, fine)))
    y, x = np.arange(ink.shape[0]) + 0.5, np.arange(ink.shape[1]) + 0.5
    mass = ink.sum()
    middle_y, middle_x = (ink.sum(1) * y).sum() / mass, (ink.sum(0) * x).sum() / mass
    rows = np.floor((y - middle_y) / (step * fine) + 14).astype(int)
    columns = np.floor((x - middle_x) / (step * fine) + 14).astype(int)
    image = np.zeros((28, 28))
    np.add.at(image, (np.clip(rows, 0, 27)[:, None], np.clip(columns, 0, 27)[None, :]), ink)
    return np.clip(255 * image / image.max() + 0.5, 0, 255).astype(np.uint8)


def digits(page):
    """The framed digits of a page (floats [h, w]), from left to right: parts that overlap in x by half are one digit."""
    while max(page.shape) > 800:
        page = page[:page.shape[0] // 2 * 2, :page.shape[1] // 2 * 2].reshape(page.shape[0] // 2, 2, -1, 2).mean((1, 3))
    dark = 255 - page if np.median(page) < 128 else page
    strength = paper(dark) - dark
    threshold = otsu(strength)
    labels = connected(strength > threshold)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    kept = np.flatnonzero(areas >= max(1, areas.max() / 10))
    groups = []
    for label in kept[areas[kept] > 0]:
        ys, xs = np.nonzero(labels == label)
        groups.append((xs.min(), xs.max() + 1, ys.min(), [label]))
    groups.sort()
    merged = []
    for group in groups:
        if merged and min(merged[-1][1], group[1]) - group[0] > 0.5 * min(group[1] - group[0], merged[-1][1] - merged[-1][0]):
            last = merged.pop()
            group = (last[0], max(last[1], group[1]), min(last[2], group[2]), last[3] + group[3])
        merged.append(group)
    full = np.percentile(strength[strength > threshold], 50) if merged else 1
    return [framed(np.where(np.isin(labels, group[3]), np.clip(strength / full, 0, 1), 0)) for group in merged]

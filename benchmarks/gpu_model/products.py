"""Convolutions and dense layers as implicit GEMMs, whose operands are read in place: kernels/cuda/matmul/product_*.cu,
and batchnorm.cu for the normalisation's backward pass."""
import heapq
import re
from dataclasses import dataclass

from gpu_model.device import SCHEDULERS
from gpu_model.kernel import WARP, Kernel, pieces

CHUNK = 16  # terms
# Instructions of a warp per chunk, by role and the warp's 16-row and 8-column tiles: (fp32 in three products, TF32)
# [sass]; dw has only the tiles that occur: after a pool (1, 4), without one (2, 2).
SLOTS = {("forward", 2, 3): (218, 123), ("forward", 2, 2): (173, 94), ("forward", 1, 4): (175, 95),
         ("dx", 2, 2): (282, 213), ("dw", 1, 4): (250, 130), ("dw", 2, 2): (270, 200), ("symmetric", 2, 2): (165, 82), ("turn", 2, 2): (212, 128)}


@dataclass(frozen=True)
class Tile:
    threads: int
    row_tiles: int
    column_tiles: int
    down: int
    across: int

    @property
    def rows(self):
        return 16 * self.row_tiles * self.down

    @property
    def columns(self):
        return 8 * self.column_tiles * self.across

    @property
    def outputs(self):
        return self.rows * self.columns

    @property
    def groups(self):
        return self.threads // WARP // (self.down * self.across)

    def chunks(self, terms):
        """Per warp."""
        return pieces(pieces(terms, CHUNK), self.groups)


def tiles_of(sources, file):
    """{struct: {role: Tile}} and {name: Tile}: the tiles that a file declares."""
    text = sources.text(file)
    outside, structs = {}, {}

    def read(body, into):
        for name, value in re.findall(r"using\s+(\w+)\s*=\s*([^;]+);", body):
            numbers = re.match(r"ProductTile<\s*(\w+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*>", value)
            if numbers:
                threads = numbers[1] if numbers[1].isdigit() else sources.constant(file, numbers[1])
                into[name] = Tile(int(threads), *(int(n) for n in numbers.groups()[1:]))
            elif value.strip() in into:
                into[name] = into[value.strip()]
    read(re.sub(r"struct\s+\w+\s*\{.*?\};", "", text, flags=re.DOTALL), outside)
    for struct, body in re.findall(r"struct\s+(\w+)\s*\{(.*?)\};", text, flags=re.DOTALL):
        structs[struct] = dict(outside)
        read(body, structs[struct])
    return structs, outside


def slots(model, role, tile):
    try:
        return SLOTS[role, tile.row_tiles, tile.column_tiles][model.precision != "fp32"]
    except KeyError:
        raise ValueError(f"a warp of {tile.row_tiles} x {tile.column_tiles} tiles for {role}: its instructions have not been counted; "
                         f"count its loop and add it to SLOTS in gpu_model/products.py") from None


def chunk_cycles(model, kernel, role, tile, warps=None):
    products = tile.row_tiles * tile.column_tiles * 2 * (3 if model.precision == "fp32" else 1)
    return kernel.chunk(slots(model, role, tile), products, warps)


class Multiprocessor:
    """Runs blocks (cycles alone, cycles among others) in parallel."""

    def __init__(self):
        self.now = 0.0
        self.left = []  # [what is left of a block, its cycles alone, among others]

    def rate(self, block):
        return block[1 if len(self.left) == 1 else 2]

    def next_end(self):
        return self.now + min(block[0] * self.rate(block) for block in self.left)

    def go_on(self, until):
        for block in self.left:
            block[0] -= (until - self.now) / self.rate(block)
        self.now = until
        self.left = [block for block in self.left if block[0] > 1e-9]


def makespan(blocks, processors, places):
    """For blocks that start in order: one on each multiprocessor, then a second one, then wherever one has ended."""
    waiting = list(reversed(blocks))
    all_of_them = [Multiprocessor() for _ in range(min(processors, len(blocks)))]
    for _ in range(places):
        for one in all_of_them:
            if waiting:
                one.left.append([1.0, *waiting.pop()])
    ends = [(one.next_end(), number) for number, one in enumerate(all_of_them)]
    heapq.heapify(ends)
    while ends:
        end, number = heapq.heappop(ends)
        one = all_of_them[number]
        one.go_on(end)
        while waiting and len(one.left) < places:
            one.left.append([1.0, *waiting.pop()])
        if one.left:
            heapq.heappush(ends, (one.next_end(), number))
    return max(one.now for one in all_of_them)


class ProductLayer:
    def __init__(self, model, layer, batch):
        self.model, self.layer, self.batch = model, layer, batch
        self.sources, self.device = model.sources, model.device
        structs, _ = tiles_of(self.sources, "implicit_product.cuh")
        self.tiles = structs["SquareTiles" if layer.kind == "dense" or batch <= 64 else "LongTiles"]
        self.room = self.sources.constant("product_plan.hpp", "kProductBlocks") * self.device.multiprocessors
        self.positions = batch * layer.outputs * layer.area
        self.outputs = batch * layer.outputs * layer.out
        self.inputs = batch * layer.h * layer.w * layer.c

    def forward(self, name, training, role="Forward"):
        """Geometry, products and the cost of a tile's epilogue: (kernel, threads' rows, outputs per thread, blocks per slice)."""
        tile, layer = self.tiles.get(role), self.layer
        if tile is None:
            raise ValueError(f"{layer.name}: these sources leave it to a library, and the model knows kernels of ours alone")
        slices, tiles = pieces(layer.out, tile.columns), pieces(self.positions, tile.rows)
        shares = self.shares_of(tiles, slices) if training and layer.norm else tiles
        places = self.room // self.device.multiprocessors
        kernel = Kernel(self.model, name, layer.name, slices * shares, tile.threads, places)
        own = [self.tiles_of_block(block, shares, tiles) for block in range(slices * shares)]
        of_processor = [sum(own[first::self.device.multiprocessors]) for first in range(self.device.multiprocessors)]
        busiest, turns = max(of_processor), max(own) * pieces(slices * shares, self.room)
        chunks = tile.chunks(layer.terms)
        alone, beside = (chunks * chunk_cycles(self.model, kernel, "forward", tile, n * tile.threads / WARP / SCHEDULERS)
                         for n in (1, places))
        kernel.warps = busiest / turns * tile.threads / WARP / SCHEDULERS  # on average, while the longest block runs
        kernel.loads("statistics", 2, cycles=300)
        kernel.add("products", makespan([(n * alone, n * beside) for n in own], self.device.multiprocessors, places),
                   dependent=turns * chunks, slots=turns * chunks * kernel.warps * slots(self.model, "forward", tile))
        kernel.add("tiles", turns * 300)
        outputs = tile.rows // layer.area
        rows = tile.threads // tile.columns
        kernel.loop("pool and sums", turns * pieces(outputs, rows), 20 + 4 * layer.area * tile.groups, loads=0)
        kernel.flop = layer.flop(self.batch)
        return kernel, rows, turns * pieces(outputs, rows), shares

    def shares_of(self, tiles, slices):
        """Blocks that share a slice of the channels."""
        most = max(self.room // slices, 1)
        if self.sources.has("product_norm.cu", "plan_product", "even_shares("):
            return pieces(tiles, pieces(tiles, most))
        return min(tiles, most)

    def tiles_of_block(self, block, shares, tiles):
        """The number; if the engine deals them round-robin, a slice continues where the previous one ended."""
        share, dealt = block % shares, 0
        if self.sources.function("product_plan.hpp", "first_tile_of"):
            dealt = block // shares * tiles % shares
        return pieces(tiles - (share - dealt) % shares, shares)

    def small_product(self, training):
        """The same with bias and ReLU in place of the normalisation."""
        kernel, *_ = self.forward("small_product", training, "SmallForward")
        e = self.model.element
        kernel.bytes = self.inputs * e + self.outputs * (e + (1 if training else 0)) + 4 * self.layer.out * self.layer.terms
        return kernel

    def product_norm(self, training):
        kernel, rows, trips, shares = self.forward("product_norm", training)
        e = self.model.element
        pooled = 1 if self.layer.area > 1 else 0
        kernel.bytes = self.inputs * e + self.outputs * (3 * e + pooled if training else e) + 4 * self.layer.out * self.layer.terms
        if training:
            self.model.sum_slice(kernel, rows, shares)
            kernel.loop("second pass", trips, self.model.gelu(self.layer),
                        row=self.sources.in_a_row("product_norm.cu", "product_norm", "a.z["))
        return kernel

    def normalise_backward(self):
        file, layer, d = "batchnorm.cu", self.layer, self.device
        threads, slice_width = self.sources.constant(file, "kThreads"), self.sources.constant(file, "kSlice")
        width = min(layer.out, slice_width)
        slices, rows = pieces(layer.out, width), threads // width
        positions = self.batch * layer.outputs
        worth = positions // (rows * self.sources.constant(file, "kLeastAThread"))
        shares = min(max(worth, 1), max(d.multiprocessors // slices, 1))
        kernel = Kernel(self.model, "normalise_backward", layer.name, slices * shares, threads)
        trips = pieces(positions, shares * rows)
        gradient = self.model.gelu_gradient(layer)
        kernel.loads("statistics", 2)
        kernel.loop("sums of the gradient", trips, gradient, 2, self.sources.in_a_row(file, "normalise_backward", "sums[0] += du"))
        self.model.sum_slice(kernel, rows, shares)
        # x, dy and, if images are selected, `kept`: without a mark, its place takes a division and its load a wait.
        selects = self.model.network.selects
        kept = self.sources.divided(file, "normalise_backward", "xh_at =", long=True) if selects else 0
        kernel.loop("second pass", trips, gradient, 2,
                    self.sources.in_a_row(file, "normalise_backward", "a.dx[", 2 / 3 if selects else 1), beside=kept)
        kernel.bytes = 5 * self.outputs * self.model.element
        return kernel

    def product_backward(self, wants_dx=True):
        layer, room = self.layer, self.room
        weights = self.tiles["Weights"]
        ones = self.sources.constant("product_plan.hpp", "kOnes", 0) if layer.bias else 0
        width = layer.terms + ones
        tiles = pieces(layer.out, weights.rows) * pieces(width, weights.columns)
        shares = max(min(room // tiles, pieces(self.positions, 512)), 1)
        blocks = self.weight_blocks(tiles, shares)
        dx = self.map_blocks() if wants_dx else []
        kernel = Kernel(self.model, "product_backward", layer.name, len(blocks) + len(dx), weights.threads,
                        room // self.device.multiprocessors)
        at_once = blocks + dx
        places = room // self.device.multiprocessors
        of_block = {block: (self.block_cycles(kernel, *block, 1), self.block_cycles(kernel, *block, places)) for block in set(at_once)}
        kernel.add("dw and dx", makespan([of_block[block] for block in at_once], self.device.multiprocessors, places), dependent=max(chunks for _, chunks, _ in at_once),
                   slots=sum(chunks * slots(self.model, role, tile) * tile.threads / WARP for role, chunks, tile in at_once)
                   / self.device.multiprocessors / SCHEDULERS)
        if shares > 1:
            kernel.ticket()
            kernel.loop("dw of all shares", pieces(weights.outputs, weights.threads) * shares, 8,
                        row=self.sources.in_a_row("product_backward.cu", "make_dw", "__ldcg(all", 8))
        e = self.model.element
        kernel.bytes = self.inputs * e * (2 if wants_dx else 1) + self.outputs * e * 2 + 4 * layer.out * layer.terms * (1 + 2 * shares)
        kernel.flop = layer.flop(self.batch) * (2 if wants_dx else 1)
        return kernel

    def weight_blocks(self, tiles, shares):
        tile = self.tiles["Weights"]
        terms = pieces(pieces(self.positions, shares), CHUNK) * CHUNK
        return [("dw", tile.chunks(terms), tile)] * (tiles * shares)

    def map_blocks(self):
        """For each pixel of x the taps inside the map; blocks in the order in which they start."""
        tile, layer = self.tiles["Map"], self.layer
        a_pixel = pieces(self.batch, tile.rows) * pieces(layer.c, tile.columns)
        blocks = []
        for pixel in range(layer.h * layer.w):
            reach = 1
            for at, extent in ((pixel // layer.w, layer.rows * layer.pool), (pixel % layer.w, layer.columns * layer.pool)):
                first = max(at - extent + 1, 0)
                reach *= max(min(at, layer.kernel - 1) + 1 - first, 0)
            blocks += [("dx", tile.chunks(reach * layer.out), tile)] * a_pixel
        return blocks

    def block_cycles(self, kernel, role, chunks, tile, beside):
        """The time if `beside` blocks share the multiprocessor."""
        warps = beside * tile.threads / WARP / SCHEDULERS
        end = pieces(tile.outputs, tile.threads) * 15 * warps
        return 300 + chunks * chunk_cycles(self.model, kernel, role, tile, warps) + end

"""The kernels that close a step: kernels/cuda/optim/muon.cu, update.cu, update_terms.cuh."""
from gpu_model.kernel import WARP, Kernel, pieces
from gpu_model.products import chunk_cycles, slots, tiles_of

STEPS = 3500     # cycles to compute rates and Adam's corrections: powers, a few calls
ADAM = 25        # instructions per element


def terms(model, kernel, segments):
    """An element's loads: gradient and slots together, then w; one after the other if they may alias."""
    kernel.loads("frozen", 1)
    kernel.loads("rates", 1, cycles=STEPS)
    row = model.sources.in_a_row("update_terms.cuh", "update_segments", "update_element", 2)
    for count in segments:
        kernel.loop("elements", pieces(count, kernel.blocks * kernel.threads), ADAM, 4, row)


def close(kernel):
    kernel.ticket()
    kernel.loads("close", 2)


def muon(model):
    network = model.network
    tile = tiles_of(model.sources, "muon_matrix.cuh")[1]["MatrixTile"]
    sizes = [(min(m), max(m)) for m in network.matrices]

    def tiles(rows, columns):
        return pieces(rows, tile.rows) * pieces(pieces(columns, 4) * 4, tile.columns)
    square, whole = sum(tiles(r, r) for r, _ in sizes), sum(tiles(r, c) for r, c in sizes)
    blocks = min(whole, model.device.multiprocessors)
    kernel = Kernel(model, "muon", "step", blocks, tile.threads)
    terms(model, kernel, network.segments)
    division = model.sources.divided("muon.cu", "direction", "for (", long=True)
    row = model.sources.in_a_row("muon.cu", "direction", "muon_direction(", 2)
    for r, c in sizes:
        kernel.loop("directions", pieces(r * c, blocks * tile.threads), 20 + division, 2, row)
    by_hand = model.waits_by_hand("muon.cu", "update_matrices")
    kernel.wait(by_hand)
    kernel.loop("norms", pieces(blocks, WARP), 6, row=model.sources.in_a_row("muon.cu", "invert_norms", "p.squares[", 1))
    kernel.add("norms", 5 * kernel.device.shuffle + 200)
    r, c = max(sizes)
    for _ in range(network.passes):
        for role, terms_of, count in (("symmetric", c, square), ("symmetric", r, square), ("turn", r, whole)):
            chunks = pieces(count, blocks) * terms_of / 16 / tile.groups  # per warp, on average: warps run in parallel
            kernel.add("products", chunks * chunk_cycles(model, kernel, role, tile), dependent=pieces(terms_of, 16 * tile.groups),
                       slots=chunks * kernel.warps * slots(model, role, tile))
            kernel.issue("tiles", pieces(tile.outputs, tile.threads) * (4 * tile.groups))
    for _ in range(3 * network.passes - 1):
        kernel.wait(by_hand)
    close(kernel)
    elements = sum(r * c for r, c in sizes)
    kernel.bytes = 4 * (elements * (4 + 3 * network.passes + 2) + 7 * sum(network.segments))
    kernel.flop = network.passes * sum(2 * (2 * r * r * c + r ** 3) for r, c in sizes)
    return kernel


def update(model):
    segments = model.network.segments
    threads = model.sources.constant("update.cu", "kThreads")
    blocks = min(pieces(max(segments), threads), model.sources.constant("update.cu", "kMostBlocks"))
    kernel = Kernel(model, "update", "step", blocks, threads, 8)
    terms(model, kernel, segments)
    close(kernel)
    kernel.bytes = 4 * 7 * sum(segments)
    return kernel


def advance(model):
    kernel = Kernel(model, "advance", "step", 1, 1)
    kernel.loads("step", 1)
    return kernel

"""The last layer and its loss: kernels/cuda/ops/head.cu."""
from gpu_model.kernel import WARP, Kernel, longer, pieces, rounds_of

FILE = "head.cu"


class Head:
    def __init__(self, model, layer, batch):
        self.model, self.layer, self.batch = model, layer, batch
        self.sources = model.sources
        self.threads = self.sources.constant(FILE, "kThreads")
        self.rows = self.threads // WARP

    def forward(self, training):
        d, layer = self.model.device, self.layer
        kernel = Kernel(self.model, "head_forward", layer.name, pieces(self.batch, self.rows), self.threads, 8)
        kernel.loads("state", 1)
        # The iterations of a class have a compile-time stride: four loads of x and four of w are in a row.
        trips, row = pieces(layer.c, WARP), self.sources.in_a_row(FILE, "logits_of_row", "sum +=", 8)
        kernel.loop("logits", trips, 4, 2, row, times=layer.out)
        kernel.add("sums of a warp", layer.out * rounds_of(WARP) * d.shuffle)
        kernel.loads("softmax and loss", 1, cycles=4 * 5 * d.shuffle + 700)
        kernel.ticket()
        kernel.loop("sums of the images", pieces(self.batch, self.threads), 8, 2, self.sources.in_a_row(FILE, "add_up", "hit +=", 2))
        kernel.rounds("sums of the images", rounds_of(self.threads))
        if training and self.model.network.selects:
            self.selection(kernel)
        kernel.bytes = self.batch * layer.c * self.model.element + 4 * layer.out * (layer.c + 2 * self.batch) + 5 * self.batch
        kernel.flop = layer.flop(self.batch)
        return kernel

    def selection(self, kernel):
        """One block compares each row with every other (select_hardest())."""
        turns = pieces(self.batch, self.threads) ** 2
        kernel.loop("selection", turns * min(self.batch, self.threads), 5, loads=0)
        kernel.loads("selection", 2 * turns)

    def backward(self):
        return longer(self.weights(), self.maps())

    def weights(self):
        """Each block has a strip of inputs and, if the engine divides the images, a group of them."""
        layer, d = self.layer, self.model.device
        strips = pieces(layer.c + 1, WARP)
        rows = self.sources.constant(FILE, "kDwRows", 0)  # rows per group
        if rows:
            return self.shared_out(strips, rows)
        kernel = Kernel(self.model, "head_backward", layer.name, strips, self.threads, 8)
        trips = pieces(self.batch, self.rows)
        # x comes from the second-level cache, then five pairs of dz, each of which waits for its own load [sass].
        kernel.add("dw", trips * (d.l2 + 4 * d.l1 + 50), dependent=5 * trips, slots=trips * 30 * kernel.warps)
        kernel.add("dw of a block", layer.out * 250)
        self.count_weights(kernel, strips)
        return kernel

    def shared_out(self, strips, rows):
        """dz of a group's images is in shared memory; x is read once per tile of classes."""
        layer, tile = self.layer, self.sources.constant(FILE, "kTile")
        room = self.sources.constant(FILE, "kDwBlocks") * self.model.device.multiprocessors // strips
        groups = max(min(pieces(self.batch, rows), room, self.sources.constant(FILE, "kMostGroups")), 1)
        kernel = Kernel(self.model, "head_backward", layer.name, strips * groups, self.threads, 8)
        times = pieces(layer.out, tile) * pieces(pieces(self.batch, rows), groups)
        kernel.loop("dz", pieces(rows * tile, self.threads), 12, times=times)
        kernel.loop("dw", pieces(rows, self.rows), 2 * tile, row=self.sources.in_a_row(FILE, "add_rows", "a.x["), times=times)
        kernel.rounds("dw of a block", 2 * pieces(layer.out, tile))
        kernel.ticket()
        kernel.loop("dw of all blocks", groups, 6, row=self.sources.in_a_row(FILE, "finish_strip", "__ldcg(partial"),
                    times=pieces(layer.out * WARP, self.threads))
        self.count_weights(kernel, strips)
        kernel.bytes += 8 * strips * groups * layer.out * WARP
        return kernel

    def count_weights(self, kernel, strips):
        kernel.bytes = self.batch * (self.layer.c * self.model.element + 4 * self.layer.out * strips)
        kernel.flop = self.layer.flop(self.batch)

    def maps(self):
        layer = self.layer
        count = self.batch * layer.c
        blocks = min(pieces(count, self.threads), self.sources.constant(FILE, "kDxBlocks") * self.model.device.multiprocessors)
        kernel = Kernel(self.model, "head_backward", layer.name, blocks, self.threads, 8)
        trips = pieces(count, blocks * self.threads)
        kernel.issue("place", trips * self.sources.divided(FILE, "head_backward", "stride", long=True))
        kernel.loop("dx", trips * layer.out, 6, 2, self.sources.in_a_row(FILE, "head_backward", "sum +=", 8))
        kernel.bytes = count * (2 if layer.relu else 1) * self.model.element + 8 * self.batch * layer.out
        kernel.flop = layer.flop(self.batch)
        return kernel

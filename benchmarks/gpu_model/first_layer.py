"""The first layer on grey images: kernels/cuda/first_layer/first_norm.cu if a batch normalisation follows, and
one_channel_conv.cu without one."""
from gpu_model.kernel import Kernel, pieces

CONV = "one_channel_conv.cu"
GATHERED, PIXEL = 30, 17  # instructions to copy a pixel to shared memory, besides finding its place [sass]
PLACE = 7    # instructions to find it, besides divisions [sass]
WINDOW = 63  # per window, besides multiply-adds, pixels and comparisons: 240 in all for 3 x 3 and a pool of 3 [sass]
ARGMAX = 31  # per argmax, besides its gradient, multiply-adds and divisions [sass]


def window_slots(layer):
    span = layer.kernel + layer.pool - 1
    return layer.kernel ** 2 * layer.area + span ** 2 + 3 * layer.area + WINDOW


class FirstLayer:
    def __init__(self, model, layer, batch):
        self.model, self.layer, self.batch = model, layer, batch
        self.sources = model.sources

    def pictures(self, kernel, count, opens, times=1):
        """Copies `count` images to shared memory; if the kernel `opens` the step, from the data set in memory."""
        d = self.model.device
        trips = pieces(count * self.layer.h * self.layer.w, kernel.threads)
        function = "gather_pictures" if opens else "load_pictures"
        divided = max(self.sources.divided("picture.cuh", name) for name in ("for_pixels", "Pixel"))
        found = self.sources.function("picture.cuh", function).count(" pixel(s, i)")  # as often per pixel; 0: by for_pixels()
        place = found * (PLACE + divided) if found else divided
        kernel.loop("pixels", trips, GATHERED if opens else PIXEL, row=self.sources.in_a_row("picture.cuh", function, "pictures[i] ="),
                    latency=d.dram if opens else d.l2, times=times, beside=place)

    def image_bytes(self):
        return self.batch * self.layer.h * self.layer.w

    def output_count(self):
        return self.batch * self.layer.outputs * self.layer.out

    # With the normalisation: each block has a run of images.
    def normalised(self, name):
        threads = self.sources.constant("first_norm.cu", "kFirstNormThreads")
        run = pieces(self.batch, self.model.device.multiprocessors)
        most = min(self.sources.constant("first_norm.cu", "kPictureMemory") // (self.layer.h * self.layer.w),
                   self.sources.constant("picture.cuh", "kMostTogether"))
        turns = pieces(run, most)
        together = pieces(run, turns)
        kernel = Kernel(self.model, name, self.layer.name, pieces(self.batch, run), threads)
        rows = threads // self.layer.out
        return kernel, turns, together, rows, turns * pieces(together * self.layer.outputs, rows)

    def first_norm(self, training):
        kernel, turns, together, rows, windows = self.normalised("first_norm")
        kernel.loads("open", 3, cycles=1190)
        self.pictures(kernel, together, True, turns)
        kernel.loop("convolution", windows, window_slots(self.layer) + self.sources.divided("picture.cuh", "window_corner"), loads=0)
        e = self.model.element
        kernel.bytes = self.image_bytes() * (1 + e) + self.output_count() * (e if not training else 3 * e + 1)
        kernel.flop = self.layer.flop(self.batch)
        if training:
            self.model.sum_slice(kernel, rows, kernel.blocks)
            row = self.sources.in_a_row("first_norm.cu", "first_norm", "a.z[")
            kernel.loop("second pass", windows, self.model.gelu(self.layer), row=row)
        return kernel

    def first_norm_backward(self):
        kernel, turns, together, rows, windows = self.normalised("first_norm_backward")
        file, function = "first_norm.cu", "first_norm_backward"
        slots = self.model.gelu_gradient(self.layer)
        kernel.loads("statistics", 1)
        kernel.loop("sums of the gradient", windows, slots, 2, self.sources.in_a_row(file, function, "norm.du("))
        self.model.sum_slice(kernel, rows, kernel.blocks)
        self.pictures(kernel, together, False, turns)
        taps = self.layer.kernel ** 2
        kernel.loop("argmax positions", windows, slots + 2 * taps, 3, self.sources.in_a_row(file, function, "taps[r * kKernel + k] +=", 1.5),
                    beside=ARGMAX + self.sources.divided("picture.cuh", "window_corner"))
        self.add_up_taps(kernel, rows, taps)
        e = self.model.element
        kernel.bytes = self.image_bytes() * e + self.output_count() * (4 * e + 1)
        kernel.flop = 2 * self.output_count() * taps
        return kernel

    def add_up_taps(self, kernel, rows, taps):
        """Sums of a block, then of all blocks by the last one to arrive."""
        count = self.layer.out * taps
        kernel.add("dw of a block", pieces(count, kernel.threads) * rows * 12)
        kernel.ticket()
        starts = pieces(count, kernel.threads)
        side_by_side = max(kernel.threads // min(count, kernel.threads), 1)
        kernel.loop("dw of all blocks", pieces(kernel.blocks, side_by_side), 10, times=starts,
                    row=self.sources.in_a_row("first_norm.cu", "add_up_taps", "__ldcg(partial"))

    # Without one.
    def first_conv(self, training):
        threads, bands = self.sources.constant(CONV, "kThreads"), self.sources.constant(CONV, "kBands")
        kernel = Kernel(self.model, "first_conv", self.layer.name, self.batch * bands, threads,
                        self.sources.constant(CONV, "kBlocksAProcessor"))
        kernel.loads("open", 3, cycles=1190)
        self.pictures(kernel, 1, True)
        windows = pieces(pieces(self.layer.outputs, bands), threads // self.layer.out)
        kernel.loop("convolution", windows, window_slots(self.layer) + self.corner("first_conv"), loads=0)
        e = self.model.element
        kernel.bytes = self.image_bytes() * (bands + e) + self.output_count() * (e + (1 if training else 0))
        kernel.flop = self.layer.flop(self.batch)
        return kernel

    def corner(self, function):
        """Instructions to find a window, in the function itself or by window_corner()."""
        own = self.sources.divided(CONV, function)
        called = self.sources.has(CONV, function, "window_corner(")
        return own + (self.sources.divided("picture.cuh", "window_corner") if called else 0)

    def first_conv_backward(self):
        """Each block has some channels and some images."""
        layer, taps = self.layer, self.layer.kernel ** 2
        channels, threads = self.sources.constant(CONV, "kChannels"), self.sources.constant(CONV, "kThreads")
        groups = pieces(layer.out, channels)
        shares, turns, together, function = self.shares(groups)
        kernel = Kernel(self.model, "first_conv_backward", layer.name, groups * shares, threads, 4)
        self.pictures(kernel, together, False, turns)
        kernel.loop("argmax positions", pieces(together * layer.outputs, threads // channels), 2 * taps, 3,
                    self.sources.in_a_row(CONV, function, "sums[r * kKernel + k] +=", 1.5), times=turns,
                    beside=ARGMAX + 16 + self.corner(function))
        kernel.add("dw of a block", (taps + 1) * 2 * kernel.device.shuffle + kernel.device.barrier_round)
        kernel.ticket()
        kernel.loop("dw of all blocks", shares, 10, times=pieces(channels * (taps + 1), threads),
                    row=self.sources.in_a_row(CONV, "first_conv_backward", "__ldcg(all", 8))
        e = self.model.element
        kernel.bytes = groups * self.image_bytes() * e + self.output_count() * (2 * e + 1)
        kernel.flop = 2 * self.output_count() * taps
        return kernel

    def shares(self, groups):
        """The number of images, a range's turns, images per turn, and the function that processes them."""
        most = self.sources.constant(CONV, "kMostShares", 0)
        if most:
            shares = min(self.batch, most)
            return shares, pieces(self.batch, shares), 1, "add_picture"
        run = pieces(self.batch, max(2 * self.model.device.multiprocessors // groups, 1))
        together = min(self.sources.constant("picture.cuh", "kMostPixels") // (self.layer.h * self.layer.w),
                       self.sources.constant("picture.cuh", "kMostTogether"))
        turns = pieces(run, together)
        return pieces(self.batch, run), turns, pieces(run, turns), "add_pictures"

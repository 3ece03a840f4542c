"""A kernel's time, item by item, on the multiprocessor that ends last. A loop takes the longer of
  issuing      the instructions of all warps of a scheduler, after the first load
  one warp     for each batch of iterations whose loads are in a row: the latency of the loads that depend on one another, and
               the instructions that need them: those of the first iteration wait for one another, the others fill the gaps
Instructions that need no load run `beside` the latency."""
import math
from dataclasses import dataclass

from gpu_model.device import SCHEDULERS

WARP = 32
DEPENDENT = 3  # cycles of an instruction that waits for the previous one, among others of its warp [review]


def pieces(extent, piece):
    return -(-extent // piece)


@dataclass
class Item:
    what: str
    cycles: float
    dependent: int = 0  # loads that wait for the previous one
    waits: int = 0      # grid barriers
    slots: float = 0    # instructions issued by a scheduler


class Kernel:
    def __init__(self, model, name, layer, blocks, threads, most=1):
        """`most`: the number of its blocks that a multiprocessor can hold at once."""
        self.device, self.sources = model.device, model.sources
        self.name, self.layer = name, layer
        self.blocks, self.threads = blocks, threads
        self.items = []
        self.bytes = 0
        self.flop = 0
        at_once = min(most, self.device.threads_a_processor // threads, pieces(blocks, self.device.multiprocessors))
        self.warps = at_once * threads / WARP / SCHEDULERS  # per scheduler
        self.add("start", self.device.cycles(self.device.node_us))

    def add(self, what, cycles, **counts):
        self.items.append(Item(what, cycles, **counts))

    def loop(self, what, trips, slots, loads=1, row=1, latency=None, times=1, beside=0):
        """`loads` per iteration, `row` of them in a row; `times`: how often the loop runs."""
        latency = self.device.l2 if latency is None else latency
        batches = pieces(trips, max(row // loads, 1)) if loads else 0
        waits = batches * max(loads / row, 1) if loads else 0
        issued = trips * (slots + beside) * self.warps
        alone = waits * latency + batches * DEPENDENT * slots + (trips - batches) * slots
        cycles = max(issued + (latency if loads else 0), alone) if loads else issued
        self.add(what, times * cycles, dependent=times * waits, slots=times * issued)

    def loads(self, what, count, latency=None, cycles=0):
        """Loads outside loops, each of which waits for the previous one, and `cycles` of other work."""
        self.add(what, count * (latency or self.device.l2) + cycles, dependent=count)

    def issue(self, what, slots):
        """Instructions per warp."""
        self.add(what, slots * self.warps, slots=slots * self.warps)

    def rounds(self, what, count):
        """Sums in shared memory: each round halves their number."""
        self.add(what, count * self.device.barrier_round)

    def wait(self, by_hand):
        us = self.device.grid_by_hand_us if by_hand else self.device.grid_sync_us
        self.add("wait", self.device.cycles(us), waits=1)

    def ticket(self):
        self.add("ticket", self.device.ticket)

    def chunk(self, slots, instructions, warps=None):
        """Cycles of a product's chunk (implicit_product.cuh) in all warps of a scheduler: the longest of issuing, the
        tensor core, and one warp's path from load to sum."""
        warps = self.warps if warps is None else warps
        d = self.device
        return max(warps * slots, warps * instructions * d.tensor, d.l2 + slots + 6 * d.tensor_latency)

    @property
    def cycles(self):
        return sum(item.cycles for item in self.items)

    @property
    def us(self):
        """The time is at least what memory needs for its bytes."""
        return max(self.device.us(self.cycles), self.bytes / (1e6 * self.device.l2_tb_s))

    def merged(self):
        """(what, us), with items of the same name added up."""
        found = {}
        for item in self.items:
            found[item.what] = found.get(item.what, 0) + self.device.us(item.cycles)
        return list(found.items())

    def row(self):
        return {"kernel": self.name, "layer": self.layer, "blocks": self.blocks, "threads": self.threads,
                "bytes": round(self.bytes), "flop": round(self.flop),
                "issue_slots": round(sum(item.slots for item in self.items)),
                "issue_us": round(self.device.us(sum(item.slots for item in self.items)), 2),
                "dependent_loads": round(sum(item.dependent for item in self.items)), "waits": sum(item.waits for item in self.items),
                "us": round(self.us, 2), "items": {what: round(us, 2) for what, us in self.merged()}}


def longer(one, other):
    """The later to end of two roles that divide one kernel's blocks; bytes and FLOP are those of both."""
    last = max(one, other, key=lambda kernel: kernel.cycles)
    last.blocks, last.bytes, last.flop = one.blocks + other.blocks, one.bytes + other.bytes, one.flop + other.flop
    return last


def rounds_of(rows):
    """Rounds until one of `rows` sums is left."""
    return math.ceil(math.log2(rows)) if rows > 1 else 0

"""The model's constants for an H200, each with its source. Measurements of a probe (scripts/gpu/first_contact.cu)
replace the constants that it measures.

Sources: [review] the static review of the machine code before the first run on a GPU; [luo] Luo et al. 2024, Benchmarking
and Dissecting the Nvidia Hopper GPU Architecture; [sheet] NVIDIA's data sheet of the H200; [sass] counted in the machine
code for sm_90 by nvcc 13.0; [read] read on an H200."""
import json
import re
from dataclasses import dataclass, replace

SCHEDULERS = 4  # per multiprocessor; each issues one instruction per clock


@dataclass(frozen=True)
class Device:
    name: str = "H200"
    multiprocessors: int = 132      # [sheet]
    clock_ghz: float = 1.98         # [read] under load
    threads_a_processor: int = 2048  # [sheet]
    l1: float = 40                  # [luo] cycles of a load from the first-level cache
    shared: float = 29              # [luo] from shared memory
    l2: float = 264                 # [luo] from the near half of the second-level cache
    dram: float = 479               # [luo] from memory
    l2_tb_s: float = 5.5            # the second-level cache's bandwidth, of an H100 by microbenchmarks; no kernel comes near
    dram_tb_s: float = 4.8          # [sheet]
    node_us: float = 1.3            # [review] start of a kernel that waits for the previous one, in a graph: 1.0 to 1.5
    grid_sync_us: float = 1.4       # [review] cooperative_groups' grid.sync()
    grid_by_hand_us: float = 0.8    # [review] one release add per block and relaxed polling
    barrier_round: float = 110      # [review] a round of a sum in shared memory: barrier, load, addition, store
    ticket: float = 1000            # [review] last_block.cuh: fence, atomic, two barriers
    shuffle: float = 30             # a shuffle and the addition after it
    tensor: float = 6.4             # [review] cycles of a scheduler's tensor core for one m16n8k8 instruction
    tensor_latency: float = 33      # [luo] cycles until its result can be used

    def us(self, cycles):
        return cycles / (1e3 * self.clock_ghz)

    def cycles(self, us):
        return us * 1e3 * self.clock_ghz


# The probe's names for its measurements; of several grids, the one with 512 threads per block.
FIGURES = {
    "l2": r"load that waits for the one before, of 1024 KiB", "dram": r"load that waits for the one before, of 262144 KiB",
    "clock_ghz": r"SM clock during the loads", "multiprocessors": r"multiprocessors", "node_us": r"node of a graph, plain",
    "grid_sync_us": r"grid\.sync\(\), \d+ blocks of 512", "grid_by_hand_us": r"barrier by hand, \d+ blocks of 512",
}


def probed(device, path):
    """Returns `device` with the measurements of the probe's record at `path`."""
    with open(path, encoding="utf-8") as file:
        figures = json.load(file)["figures"]
    measured = {}
    for constant, name in FIGURES.items():
        values = [figure["value"] for figure in figures if re.fullmatch(name, figure["name"]) and "value" in figure]
        if values:
            measured[constant] = type(getattr(device, constant))(values[0])
    if not measured:
        raise ValueError(f"{path}: no figure that the model knows")
    return replace(device, **measured)

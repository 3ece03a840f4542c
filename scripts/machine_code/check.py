"""Checks that the machine code of the GPU kernels loads as their sources say. A loop whose source line ends in the comment
    loads in a row: N            or            shared loads in a row: N
(the line of its `for`, or of the call that contains it) starts N loads, from memory or from shared memory, before anything
waits for the first of them; no division in it is a call; and its kernel does not spill and uses so few registers that as
many blocks fit on a multiprocessor as its __launch_bounds__ say. That holds for every instantiation that has the line.

  check.py NVCC NVDISASM [--tree DIR] [--architecture 90] [--table] [--sources FILE...]

Prints path:line: what was found and what was wanted, and then exits with 1. --table prints every mark and kernel instead.
"""
import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import assembly

MARK = re.compile(r'// (shared )?loads in a row: (\d+)\s*$')
REGISTERS = 65536  # per multiprocessor; a warp gets them in units of 256
Mark = collections.namedtuple("Mark", "path line opcode wanted")
Row = collections.namedtuple("Row", "mark kernel loads calls registers faults")


def marks_of(tree):
    marks = []
    for path in sorted((tree / "kernels").rglob("*.*")):
        if path.suffix not in (".cu", ".cuh", ".hpp"):
            continue
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if found := MARK.search(text):
                marks.append(Mark(str(path), number, "LDS" if found[1] else "LDG", int(found[2])))
    return marks


def run(command):
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))}\n{ran.stdout}{ran.stderr}")
    return ran


def compiled(options, source):
    """(kernels, registers and spilled bytes of each, launch bounds of each: threads and blocks)."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = os.path.join(folder, "code.cubin")
        log = run([options.nvcc, "-cubin", "-std=c++20", "-O3", "-DNDEBUG", "-lineinfo", f"-arch=sm_{options.architecture}",
                   "-Xptxas=-v", "--keep", "--keep-dir", folder, "-I", options.tree, source, "-o", cubin]).stderr
        code = assembly.kernels_of(run([options.nvdisasm, "-c", "-gi", cubin]).stdout)
        ptx = "".join(path.read_text() for path in pathlib.Path(folder).glob("*.ptx"))
    return code, resources(log), bounds(ptx)


def resources(log):
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        used = re.search(r"Used (\d+) registers", part)
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        found[part.split("'")[0]] = (int(used[1]), int(spills[1]) + int(spills[2]))
    return found


def bounds(ptx):
    """Threads per block and blocks per multiprocessor of the kernels that declare them."""
    found = {}
    for part in ptx.split(".entry ")[1:]:
        head = part.split("{")[0]
        threads = re.search(r"\.maxntid\s+(\d+)", head)
        blocks = re.search(r"\.minnctapersm\s+(\d+)", head)
        if threads:
            found[re.match(r"\w+", head)[0]] = (int(threads[1]), int(blocks[1]) if blocks else 1)
    return found


def most_registers(threads, blocks):
    warps = blocks * ((threads + 31) // 32)
    return min(REGISTERS // warps // 256 * 8, 255)


def copy_of(instruction, place):
    """The inlined copy of a line to which an instruction belongs, as its chain of calls; None if it is not from the line."""
    if place not in instruction.lines:
        return None
    return instruction.lines[len(instruction.lines) - instruction.lines[::-1].index(place):]


def loops_at(kernel, place):
    """The loops of each inlined copy of a line (copies with the same calling line count as one): those whose back branch
    comes from it, else the innermost that contain it."""
    copies = collections.defaultdict(list)
    for loop in kernel.loops():
        label = set(loop[0][0].label)
        backs = {copy_of(block[-1], place) for block in loop if label & set(assembly.TARGET.findall(block[-1].operands))}
        for copy in {copy_of(i, place) for block in loop for i in block} - {None}:
            copies[copy].append((copy in backs, {block[0].address for block in loop}, loop))
    chosen = []
    for around in copies.values():
        own = [loop for is_own, _, loop in around if is_own]
        inner = [loop for _, extent, loop in around if not any(other < extent for _, other, _ in around)]
        chosen.append(own or inner)
    return chosen


def calls_in(loops):
    calls = [i.operands for loop in loops for block in loop for i in block if i.opcode.startswith("CALL")]
    return sorted({re.sub(r"[`()$]|__internal_\d+_", "", call) for call in calls if re.search(r"div|rem|rcp", call)})


def judged(mark, kernel, resource, bound):
    """The row of one mark in one kernel, or None if the kernel does not contain its line."""
    if (mark.path, mark.line) not in kernel.lines():
        return None
    copies = loops_at(kernel, (mark.path, mark.line))
    loads = min((max(assembly.loads_in_a_row(loop, mark.opcode) for loop in loops) for loops in copies), default=0)
    calls = calls_in(sum(copies, []))
    used, spilled = resource
    local = sum(i.opcode.split(".")[0] in ("STL", "LDL") for i in kernel.instructions)
    faults = []
    if not copies:
        faults.append("no loop here")
    elif loads < mark.wanted:
        faults.append(f"{loads} {'shared ' if mark.opcode == 'LDS' else ''}loads in a row, {mark.wanted} wanted")
    if calls:
        faults.append(f"a division is a call of {', '.join(calls)}")
    if spilled or local:
        faults.append(f"{spilled} bytes spilled, {local} accesses to local memory")
    if bound and used > most_registers(*bound):
        faults.append(f"{used} registers, {most_registers(*bound)} at most for {bound[1]} blocks of {bound[0]} threads")
    return Row(mark, kernel.name, loads, calls, used, faults)


def rows_of(options, sources, marks):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(lambda source: compiled(options, source), sources))
    rows = []
    for kernels, resource, bound in parts:
        for kernel in kernels:
            judgements = (judged(mark, kernel, resource[kernel.name], bound.get(kernel.name)) for mark in marks)
            rows += [row for row in judgements if row]
    return rows


def plain(names):
    """The name without namespaces and parameters, if c++filt is available."""
    try:
        text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return dict(zip(names, names))
    short = [re.sub(r"\(anonymous namespace\)::|trainer::(cuda::)?|^void ", "", line) for line in text.splitlines()]
    return dict(zip(names, (re.sub(r"\((?!trainer|\w+\)\d).*", "", name) for name in short)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nvcc")
    parser.add_argument("nvdisasm")
    parser.add_argument("--tree", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    parser.add_argument("--architecture", default="90")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--sources", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    options.tree = options.tree.resolve()
    marks = marks_of(options.tree)
    rows = rows_of(options, options.sources or sorted((options.tree / "kernels").rglob("*.cu")), marks)
    names = plain(sorted({row.kernel for row in rows}))
    faults = []
    for row in sorted(rows):
        place = f"{os.path.relpath(row.mark.path, options.tree)}:{row.mark.line}"
        faults += [f"{place}: {names[row.kernel]}: {fault}" for fault in row.faults]
        if options.table:
            print(f"{place} {names[row.kernel]}: {row.loads} of {row.mark.wanted} in a row, {len(row.calls)} calls, "
                  f"{row.registers} registers")
    if not options.sources:
        seen = {row.mark for row in rows}
        faults += [f"{os.path.relpath(m.path, options.tree)}:{m.line}: no kernel has code of this line" for m in marks
                   if m not in seen]
    print("\n".join(faults + [f"machine code for sm_{options.architecture}: {len(marks)} marked loops in "
                              f"{len(rows)} kernels, {len(faults)} faults"]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

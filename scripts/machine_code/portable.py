"""Checks that the GPU code of the portable engine computes what its sources say, with every rounding: for each architecture that
cmake/cuda.cmake compiles for,
  in PTX, floats are added, multiplied, divided and rooted by forms that round to nearest (.rn) alone, never fused, flushed or
  approximate, and nothing is atomic;
  in machine code, fused and approximate instructions are in functions of exact division and roots alone (those of
  kernels/math/division.hpp and nvcc's own). `HFMA2 R, -RZ, RZ, constant` moves a constant.
A control build without the flags of kernels/CMakeLists.txt must be refused.

  portable.py NVCC NVDISASM [--tree DIR] [--architectures 75 ...]

Prints what was found and where, and then exits with 1.
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

PTX = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z]\w*)((?:\.\w+|::\w+)*)\s", re.MULTILINE)
FLOAT = re.compile(r"\.(f16|f16x2|bf16|bf16x2|tf32|f32|f32x2|f64|e\dm\d\w*)\b")
ROUNDED = {"add", "sub", "mul", "div", "rcp", "sqrt"}
EXACT = {"abs", "cvt", "ld", "max", "min", "mov", "neg", "selp", "setp", "st"}
NEVER = re.compile(r"^(atom|red|fma|mad|mma|wmma|wgmma|tcgen05|shfl|tex|ex2|lg2|sin|cos|tanh|rsqrt)$")

SECTION = re.compile(r"^\.text\.(\S+):")
LABEL = re.compile(r"^\s*(\$?[\w$.]+):\s*$")
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
ALLOWED = re.compile(r"^(portable_(div|sqrt)_\w+|__cuda_sm\w+_(d|dbl)?(div|rcp|sqrt)_(rn|u64)\w*)$")
INEXACT = re.compile(r"^(FFMA|DFMA|HFMA|HADD|HMUL|FADD2|FMUL2|[A-Z]*MMA|UTC|MUFU|FCHK|FSWZADD|RED|ATOM|SHFL|TEX|F2F\.F16)"
                     r"|\.(FTZ|SAT|RM|RP|RZ)\b")
MOVE = re.compile(r"^HFMA2(\.MMA)?$")


def run(command):
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def ptx_faults(text):
    for name, rest in PTX.findall(text):
        if NEVER.match(name) and not (name == "mad" and not FLOAT.search(rest)):
            yield f"PTX has {name}{rest}"
        elif FLOAT.search(rest) and name not in EXACT and not (name in ROUNDED and ".rn" in rest):
            yield f"PTX has {name}{rest}"
        elif FLOAT.search(rest) and re.search(r"\.(ftz|approx|sat|full|rm|rp)\b", rest):
            yield f"PTX has {name}{rest}"


def code_faults(text):
    where = ""
    for row in text.splitlines():
        if found := SECTION.match(row) or LABEL.match(row):
            where = where if found[1].startswith(".L") else found[1]
        elif found := INSTRUCTION.match(row):
            opcode, operands = found.groups()
            moves = MOVE.match(opcode) and "-RZ, RZ," in operands
            if INEXACT.search(opcode) and not moves and not ALLOWED.match(where.split("$")[-1]):
                yield f"{where}: {opcode}"


def faults_of(options, architecture, flags):
    """How often each fault is in the code of all files for one architecture, and the number of instructions."""
    faults, instructions = collections.Counter(), 0
    for source in sorted((options.tree / "kernels/cuda/portable").glob("*.cu")):
        with tempfile.TemporaryDirectory() as folder:
            cubin = os.path.join(folder, "code.cubin")
            run([options.nvcc, "-cubin", "-std=c++20", "-O3", "-DNDEBUG", f"-arch=sm_{architecture}", *flags, "--keep",
                 "--keep-dir", folder, "-I", options.tree, source, "-o", cubin])
            code = run([options.nvdisasm, "-c", cubin])
            ptx = "".join(path.read_text() for path in pathlib.Path(folder).glob("*.ptx"))
        instructions += sum(bool(INSTRUCTION.match(row)) for row in code.splitlines())
        faults.update(f"{os.path.relpath(source, options.tree)}: sm_{architecture}: {fault}"
                      for fault in [*ptx_faults(ptx), *code_faults(code)])
    return faults, instructions


def found_in(path, pattern):
    found = re.search(pattern, path.read_text(encoding="utf-8"))
    return found[1].split() if found else sys.exit(f"error: {path}: no text like {pattern}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nvcc")
    parser.add_argument("nvdisasm")
    parser.add_argument("--tree", type=pathlib.Path, default=pathlib.Path(__file__).parents[2])
    parser.add_argument("--architectures", nargs="*")
    options = parser.parse_args()
    options.tree = options.tree.resolve()
    offered = run([options.nvcc, "--list-gpu-arch"]).split()
    wanted = options.architectures or found_in(options.tree / "cmake/cuda.cmake", r"foreach\(architecture ([\d ]+)\)")
    architectures = [one for one in wanted if f"compute_{one}" in offered]
    flags = found_in(options.tree / "kernels/CMakeLists.txt", r"\{cuda_portable\} PROPERTIES COMPILE_OPTIONS (--[^)\"]*)\)")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        control = pool.submit(faults_of, options, architectures[0], [])
        results = list(pool.map(lambda one: faults_of(options, one, flags), architectures))
    faults = sum((found for found, _ in results), collections.Counter())
    refused = sum(control.result()[0].values())
    rows = [f"{fault} ({count} times)" for fault, count in sorted(faults.items())]
    rows += [] if refused else [f"a build without {' '.join(flags)} is not refused: the check finds nothing"]
    print("\n".join([*rows, f"portable machine code for sm_{', '.join(architectures)}: {sum(n for _, n in results)} instructions, "
                            f"{sum(faults.values())} faults; {refused} in the control build"]))
    sys.exit(1 if rows else 0)


if __name__ == "__main__":
    main()

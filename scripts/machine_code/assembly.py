"""Parses machine code as nvdisasm -c -gi prints it: kernels, their instructions with the source lines of each (its own
and those of the calls through which it was inlined), and their loops.
"""
import collections
import os
import re

SECTION = re.compile(r'^\s*\.section\s+\.text\.(\w+),')
FUNCTION = re.compile(r'^\s*\.type\s+(\S+),@function')
LABEL = re.compile(r'^(\.L_x_\d+):')
LINE = re.compile(r'^\s*//## File "')
PLACE = re.compile(r'"([^"]+)", line (\d+)')
INSTRUCTION = re.compile(r'^\s+/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;')
TARGET = re.compile(r'`\((\S+?)\)')
REGISTER = re.compile(r'\bR(\d+)\b')
WIDTHS = {"64": 2, "128": 4}

Instruction = collections.namedtuple("Instruction", "address guard opcode operands lines label")


class Kernel:
    """The code of one entry function, without the library's subroutines after it, and the names of those that it calls."""

    def __init__(self, name):
        self.name = name
        self.instructions = []
        self._loops = self._lines = None

    def lines(self):
        if self._lines is None:
            self._lines = set().union(*(i.lines for i in self.instructions))
        return self._lines

    def loops(self):
        """Each loop as a list of its blocks in address order; a block is a list of instructions."""
        if self._loops is None:
            blocks = cut(self.instructions)
            self._loops = [[blocks[b] for b in sorted(body)] for body in natural_loops(successors(blocks))]
        return self._loops


def kernels_of(text):
    kernels, kernel, lines, fresh, labels = [], None, (), True, []
    for row in text.splitlines():
        if section := SECTION.match(row):
            kernel, lines, labels = Kernel(section[1]), (), []
            kernels.append(kernel)
        elif (function := FUNCTION.match(row)) and function[1].startswith("$"):
            kernel = Kernel(function[1])  # not kept
        elif label := LABEL.match(row):
            labels.append(label[1])
        elif LINE.match(row):
            lines = (() if fresh else lines) + tuple(
                (os.path.normpath(path), int(number)) for path, number in PLACE.findall(row))
            fresh = False
        elif kernel and (found := INSTRUCTION.match(row)):
            fresh = True
            kernel.instructions.append(Instruction(int(found[1], 16), found[2], found[3], found[4], lines, tuple(labels)))
            labels = []
    return kernels


def branches(instruction):
    return instruction.opcode.split(".")[0] in ("BRA", "UBRA")


def leaves(instruction):
    """Whether control never continues after it."""
    always = instruction.guard in (None, "PT", "UPT")
    return always and (branches(instruction) or instruction.opcode.split(".")[0] in ("EXIT", "RET", "BRX", "JMP"))


def cut(instructions):
    """The basic blocks."""
    blocks = []
    starts = True
    for instruction in instructions:
        if starts or instruction.label:
            blocks.append([])
        blocks[-1].append(instruction)
        starts = branches(instruction) or leaves(instruction)
    return blocks


def successors(blocks):
    at = {label: number for number, block in enumerate(blocks) for label in block[0].label}
    following = []
    for number, block in enumerate(blocks):
        last = block[-1]
        to = {at[target] for target in TARGET.findall(last.operands) if branches(last) and target in at}
        if not leaves(last) and number + 1 < len(blocks):
            to.add(number + 1)
        following.append(to)
    return following


def natural_loops(following):
    """Sets of blocks, one per loop header: those that reach a back edge to it without passing through it."""
    before = collections.defaultdict(set)
    for block, to in enumerate(following):
        for other in to:
            before[other].add(block)
    dominators = dominators_of(following, before)
    loops = {}
    for block, to in enumerate(following):
        for header in to & dominators[block]:
            body = loops.setdefault(header, {header})
            waiting = [block]
            while waiting:
                inside = waiting.pop()
                if inside not in body:
                    body.add(inside)
                    waiting += before[inside]
    return list(loops.values())


def dominators_of(following, before):
    """The blocks through which every path to a block leads; none for an unreachable block."""
    reached, waiting = {0}, [0]
    while waiting:
        for other in following[waiting.pop()] - reached:
            reached.add(other)
            waiting.append(other)
    dominators = [set(reached) if block in reached else set() for block in range(len(following))]
    dominators[0] = {0}
    changes = True
    while changes:
        changes = False
        for block in sorted(reached - {0}):
            passed = set.intersection(*(dominators[b] for b in before[block] & reached)) | {block}
            changes = changes or passed != dominators[block]
            dominators[block] = passed
    return dominators


def registers(operands):
    return {int(number) for number in REGISTER.findall(operands)}


def loaded_registers(instruction):
    """The registers that a load writes."""
    first = REGISTER.match(instruction.operands)
    width = max([1] + [WIDTHS.get(word, 1) for word in instruction.opcode.split(".")])
    return {int(first[1]) + k for k in range(width)} if first else set()


def loads_in_a_row(loop, opcode):
    """The maximum number of loads that a loop starts before an instruction uses a register that one of them writes."""
    most, waited_for = 0, []
    address = None
    for instruction in (i for block in loop for i in block):
        used = set().union(*waited_for) & registers(instruction.operands) if waited_for else set()
        if used or (address is not None and instruction.address != address):
            most, waited_for = max(most, len(waited_for)), []
        if instruction.opcode.split(".")[0] == opcode:
            waited_for.append(loaded_registers(instruction))
        if leaves(instruction):
            most, waited_for = max(most, len(waited_for)), []
        address = instruction.address + 16
    return max(most, len(waited_for))

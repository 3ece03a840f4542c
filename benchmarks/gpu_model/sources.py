"""What the model reads from kernels/: constants, how many loads a loop starts in a row, where there are divisions.

A loop is found by its function and by a text that it contains, so that it is still found when lines move. Its mark
`// loads in a row: N` ends the line of its `for`, or of the call that contains it; scripts/check_machine_code.sh verifies
the marks in the machine code. Without a mark every load waits for the previous one."""
import functools
import glob
import os
import re

# Instructions of a division: by a number known at run time [sass]; of 64-bit numbers, a call; by kernels/math/divider.hpp.
DIVISION, LONG_DIVISION, QUOTIENT = 22, 70, 4
MARK = re.compile(r"//\s*loads in a row:\s*(\d+)")


def closing(text, at):
    """The position after the brace or parenthesis that closes the one at `at`."""
    pair = {"{": "}", "(": ")"}[text[at]]
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == text[at]) - (text[i] == pair)
        if depth == 0:
            return i + 1
    raise ValueError(f"no {pair} for: {text[at:at + 60]}")


class Sources:
    def __init__(self, folder):
        self.folder = folder

    @functools.lru_cache(maxsize=None)
    def text(self, name):
        """The text of a file of kernels/cuda and its rooms, or kernels/math/..., with all comments but marks blanked out."""
        pattern = name if "/" in name else os.path.join("cuda", "**", name)
        paths = glob.glob(os.path.join(self.folder, "kernels", pattern), recursive=True)
        if not paths:
            return ""
        with open(paths[0], encoding="utf-8") as file:
            return re.sub(r"//(?!\s*loads in a row:)[^\n]*", "", file.read())

    @functools.lru_cache(maxsize=None)
    def files(self, name):
        """That file, then the headers beside it, its own first, so that code moved there is found too."""
        headers = map(os.path.basename, glob.glob(os.path.join(self.folder, "kernels/cuda/**/*.*h*"), recursive=True))
        return [name, *sorted(headers, key=lambda header: (not header.startswith(name.split(".")[0]), header))]

    def constant(self, name, constant, absent=None):
        """The VALUE of `constexpr TYPE NAME = VALUE;` in a file of kernels/cuda or, if it has none, in any header there, as
        an integer. VALUE may be a product or quotient of others."""
        for file in self.files(name):
            found = re.search(rf"\bconstexpr\s+[\w:]+\s+{constant}\s*=\s*([^;]+);", self.text(file))
            if found:
                first, *rest = re.findall(r"\w+|[*/]", found.group(1))
                value = self.value(file, first)
                for sign, word in zip(rest[::2], rest[1::2]):
                    value = value * self.value(file, word) if sign == "*" else value // self.value(file, word)
                return value
        if absent is None:
            raise ValueError(f"kernels/cuda/{name}: no constant {constant}")
        return absent

    def value(self, name, word):
        return int(word.rstrip("U").replace("'", "")) if word[0].isdigit() else self.constant(name, word)

    @functools.lru_cache(maxsize=None)
    def function(self, name, function):
        """Parameters and body of the function with that name, or '' if none has a body."""
        for text in map(self.text, self.files(name)):
            for found in re.finditer(rf"\b{function}\s*\(", text):
                end = closing(text, found.end() - 1)
                body = re.match(r"\s*(const)?\s*\{", text[end:])
                if body:
                    return text[found.start():closing(text, end + body.end() - 1)]
        return ""

    def marked(self, name, function):
        """(N, text) of each loop, or call that makes one, whose line ends in a mark; with the functions that a call is given."""
        text = self.function(name, function)
        found = []
        for mark in MARK.finditer(text):
            start = text.rfind("\n", 0, mark.start()) + 1
            loop = re.search(r"\bfor\s*\(", text[start:mark.start()])
            opens = start + loop.end() - 1 if loop else text.index("(", start, mark.start())
            end = closing(text, opens)
            if loop:
                body = re.match(r"(\s|//[^\n]*)*\{", text[end:])
                end = closing(text, end + body.end() - 1) if body else text.index(";", end)
            given = [self.local_function(text, word, start) for word in re.findall(r"\w+", text[opens:end])]
            found.append((int(mark[1]), text[start:end] + "".join(given)))
        return found

    @staticmethod
    def local_function(text, name, before):
        """The last `const auto NAME = [...](...) { ... }` before that place."""
        at = text.rfind(f"const auto {name} = [", 0, before)
        return text[at:closing(text, text.index("{", at))] if at >= 0 else ""

    def in_a_row(self, name, function, needle, absent=1):
        """The mark of the loop in `function` that contains `needle`, or `absent` if it has none."""
        if not self.has(name, function, needle):
            raise ValueError(f"kernels/cuda/{name}: no {needle!r} in {function}()")
        return max([mark for mark, text in self.marked(name, function) if needle in text], default=absent)

    def has(self, name, function, needle):
        return needle in self.function(name, function)

    def divided(self, name, function, behind="", long=False):
        """Instructions that divide by numbers known only at run time, from the text `behind` on: a quotient
        and its remainder are one division; `long`: of 64-bit numbers."""
        text = self.function(name, function) or self.structure(name, function)
        at = text.find(behind)
        pairs = re.findall(r"([\w.>\]-]+)\s[/%]\s(?!k[A-Z]|\d)([\w.>-]+)", text[at:] if at >= 0 else "")
        return (LONG_DIVISION if long else DIVISION) * len(set(pairs)) + QUOTIENT * text.count(".quotient(")

    def structure(self, name, structure):
        """The text of a struct, or ''."""
        found = re.search(rf"\bstruct\s+{structure}\s*\{{", self.text(name))
        return self.text(name)[found.start():closing(self.text(name), found.end() - 1)] if found else ""

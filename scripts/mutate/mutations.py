"""The single mutations of a C++ or CUDA source: what could be a mistake, and is code of a function's body. Comments, strings,
preprocessor lines, static_asserts, and what stands outside of bodies are left alone. The text is taken as clang-format lays it out: binary
operators have a space on both sides, those of templates and pointers have not."""
import dataclasses
import hashlib
import re

# What replaces an operator; of several, a seed chooses one.
OPERATORS = {
    "comparison": {"<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="]},
    "arithmetic": {"+": ["-"], "-": ["+"], "*": ["/", "+"], "/": ["*"], "%": ["/"], "<<": [">>"], ">>": ["<<"], "&&": ["||"], "||": ["&&"],
                   "&": ["|"], "|": ["&"], "^": ["|"], "+=": ["-="], "-=": ["+="], "*=": ["/="], "/=": ["*="], "|=": ["&="], "&=": ["|="]},
}
OPERATOR = re.compile(r"(?<=[\w)\]}\"'] )(<=|>=|==|!=|<<|>>|&&|\|\||\+=|-=|\*=|/=|\|=|&=|[<>+\-*/%&|^])(?=[ \n])")
NUMBER = re.compile(r"(?<![\w.'])(0[xX][0-9a-fA-F']+|\d[\d']*(?:\.\d*)?(?:[eE][+-]?\d+)?)([uUlLfFzZ]*)(?![\w.'])")
TRUTH = re.compile(r"(?<![\w.])(true|false)(?!\w)")
BARRIER = re.compile(r"\b(?:__syncthreads|__syncwarp|wait_for_grid|barrier)\b")
FLUSH = re.compile(r"(?<!\w)(?:::)?(?:fsync|fdatasync|flush_to_device)\((?!int )[^()]*(?:\([^()]*\)[^()]*)*\)")
# Statements whose removal no test can see: hints to the memory system, random waits, directives.
UNSEEN = re.compile(r"^(?:__threadfence|jitter|__builtin_|_mm_prefetch|static_cast<void>|\(void\))")
NO_STATEMENT = re.compile(r"^(?:return\b(?!;)|using\b|case\b|default\b|throw\b|if\b|else\b|for\b|while\b|do\b|switch\b|goto\b|co_|static\b|constexpr\b|const\b|"
                          r"auto\b|typedef\b|template\b|extern\b|friend\b|struct\b|class\b|enum\b|public\b|private\b|__shared__|EXPECT|asm\b)")


@dataclasses.dataclass(frozen=True)
class Mutation:
    path: str
    line: int  # from 1
    kind: str  # comparison, arithmetic, constant, condition, statement, barrier, flush
    begin: int
    end: int
    text: str  # in place of the source's begin ... end
    before: str  # the source's lines from begin to end, without indentation
    after: str

    @property
    def name(self):
        """The same for the same change of the same lines, wherever they move."""
        return hashlib.sha256("\n".join([self.path, self.before, self.after, str(self.line)]).encode()).hexdigest()[:12]

    def applied_to(self, source):
        return source[:self.begin] + self.text + source[self.end:]


def masked(source):
    """The source with spaces in place of comments, strings, preprocessor lines and static_asserts; all else stays at its place."""
    def blank(text):
        return re.sub(r"[^\n]", " ", text)
    raw = r'R"(?P<tag>[^\s()\\]{0,16})\((?:.|\n)*?\)(?P=tag)"'
    pattern = (r"//[^\n]*|/\*(?:.|\n)*?\*/|" + raw + r'|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
               r"|(?m:^[ \t]*\#(?:[^\n\\]|\\\n|\\.)*)|\b(?:static_assert|__launch_bounds__|alignas|decltype|_Pragma)\([^;{]*?\)(?=[;\s,])")
    return re.sub(pattern, lambda match: blank(match.group()), source)


def bodies(code):
    """For each character, whether it is in the body of a function."""
    inside = bytearray(len(code))
    braces = []  # of each open brace, whether it is (in) a body
    begin = 0  # of the declaration at hand
    for at, character in enumerate(code):
        within = bool(braces) and braces[-1]
        inside[at] = within
        if character == "{":
            braces.append(within or opens_body(code[begin:at]))
            begin = at + 1
        elif character == "}":
            if braces:
                braces.pop()
            begin = at + 1
        elif character == ";":
            begin = at + 1
    return inside


def opens_body(head):
    """Whether the brace after this text, outside of functions, opens the body of one."""
    head = re.sub(r"\s+", " ", head).strip()
    if re.search(r"\b(?:namespace|struct|class|union|enum|concept)\b(?![^{]*\()", head) or "(" not in head:
        return False
    plain = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", head))
    return "operator" in head or re.search(r"(?<![=<>!])=(?!=)", plain) is None or "[" in head and head.endswith(")")


HEAD = re.compile(r"(?:else )?(?:if(?: constexpr)?|for|while) (?=\()|else ")


def statements(code, inside):
    """(begin, end) of each statement of a body that ends with a semicolon: an expression, a return, a declaration."""
    depth, begin, outer = 0, 0, []  # outer: depth and begin around each open brace
    for at, character in enumerate(code):
        if character == "{":
            outer.append((depth, begin))
            depth, begin = 0, at + 1
        elif character == "}":
            depth, begin = outer.pop() if outer else (0, 0)
            if depth == 0:  # else the braces are part of an expression, which goes on
                begin = at + 1
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == ";" and depth == 0:
            first = without_heads(code, begin, at)
            if inside[at] and first < at:
                yield first, at + 1
            begin = at + 1


def without_heads(code, begin, end):
    """Where a statement begins after the if, else or loop whose body it is without braces."""
    while True:
        begin += len(code[begin:end]) - len(code[begin:end].lstrip())
        head = HEAD.match(code, begin, end)
        if not head:
            return begin
        begin = head.end() if head.group() == "else " else after_parentheses(code, head.end())


def after_parentheses(code, begin):
    depth = 0
    for at in range(begin, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    return len(code)


def is_removable(statement):
    """Whether it is an expression with an effect, or ends a loop or function early; no declaration."""
    text = re.sub(r"\s+", " ", statement)
    if text in ("return;", "break;", "continue;"):
        return text != "break;"
    if NO_STATEMENT.match(text) or UNSEEN.match(text):
        return False
    flat, before = text, ""
    while flat != before:
        flat, before = re.sub(r"\([^()]*\)|\[[^\[\]]*\]|<[\w:,*& ]+>|\{[^{}]*\}", "@", flat), flat
    left = re.split(r" [+\-*/|&^%<>]*= ", flat, maxsplit=1)[0]
    declares = re.match(r"^[\w:]+@?(?:::\w+)*[ *&]+\w+[@; {]", left + ";") and not left.startswith("delete ")
    return not declares and bool(re.search(r"(?<![=<>!])=(?!=)|@|^\+\+|^--|\+\+;|--;", flat))


def declares_only(statement):
    """A declaration without a value: its numbers are sizes of arrays or arguments of templates."""
    return bool(re.match(r"^(?:__shared__|using|template|typedef|struct|class)\b", statement)) or (
        "=" not in statement and "(" not in statement and bool(re.match(r"^[\w:<>,*& ]+[ >*&]\w+(?:\[[^;]*\])*;$", statement))
        and not statement.startswith(("return", "throw", "delete", "co_", "case")))


def stepped(number, suffix):
    """What a constant becomes: one more and one less, or for a fraction twice as much."""
    plain = number.replace("'", "")
    if plain.lower().startswith("0x"):
        return [hex(int(plain, 16) + 1) + suffix]
    if re.fullmatch(r"\d+", plain) and not re.search(r"[fF]", suffix):
        value = int(plain, 8) if len(plain) > 1 and plain[0] == "0" else int(plain)
        return [f"{value + 1}{suffix}"] + ([f"{value - 1}{suffix}"] if value > 0 else [])
    value = float(plain)
    return [f"{2 * value if value != 0 else 1.0!r}{suffix}"]


def mutations_of(path, source):
    """All single mutations of a source, by place."""
    code = masked(source)
    inside = bodies(code)
    found = []
    barred = bytearray(len(code))  # declarations without a value, hints

    def add(kind, begin, end, text):
        first = source.rfind("\n", 0, begin) + 1
        last = source.find("\n", end)
        last = len(source) if last < 0 else last
        changed = source[first:begin] + text + source[end:last]
        found.append(Mutation(path, source.count("\n", 0, begin) + 1, kind, begin, end, text,
                              " ".join(source[first:last].split()), " ".join(changed.split())))

    for begin, end in statements(code, inside):
        text = code[begin:end]
        if declares_only(re.sub(r"\s+", " ", text)) or UNSEEN.match(text):
            barred[begin:end] = b"\1" * (end - begin)
        elif is_removable(text):
            kind = "barrier" if BARRIER.match(text) else "flush" if FLUSH.search(text) else "statement"
            add(kind, begin, end, ";")

    def is_code(at):
        return inside[at] and not barred[at]

    for match in OPERATOR.finditer(code):
        if is_code(match.start()):
            for kind, table in OPERATORS.items():
                for text in table.get(match.group(), ()):
                    add(kind, match.start(), match.end(), text)
    for match in NUMBER.finditer(code):
        if is_code(match.start()):
            for text in stepped(*match.groups()):
                add("constant", match.start(), match.end(), text)
    for match in TRUTH.finditer(code):
        if is_code(match.start()):
            add("constant", match.start(), match.end(), "false" if match.group() == "true" else "true")
    for match in FLUSH.finditer(code):
        if is_code(match.start()):
            add("flush", match.start(), match.end(), "0")
    for match in re.finditer(r"\bif \(", code):
        if is_code(match.start()):
            begin = match.end()
            end = after_parentheses(code, begin - 1) - 1
            if "; " in code[begin:end]:
                begin = code.rfind("; ", begin, end) + 2
            elif re.match(r"(?:const |auto )[^=]* = ", code[begin:end]):
                continue
            add("condition", begin, end, f"!({source[begin:end]})")
    return sorted(found, key=lambda m: (m.begin, m.end, m.text))

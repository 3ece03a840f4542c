"""The tables of what tries to break the program: kills, full disks, failing calls, mutants, fuzzing (called by tables.py)."""
from record import newest, origin


def summary():
    """One row for each way, for README."""
    def total(value, *keys):
        return [sum(row[key] for row in value["rows"]) for key in keys]
    rows = []
    for value in newest("kills"):
        cases, kills, at_calls, wrong = total(value, "cases", "kills", "at_calls", "wrong")
        rows.append(("`kill -9`, half of the kills within a call that concerns files; the command is given again", f"{cases:,} commands, {kills:,} kills, {at_calls:,} of them at "
                     "such a call", f"{wrong} lost something or ended with other bits", value))
    for value in newest("full_disks"):
        cases, full, wrong = total(value, "cases", "full", "wrong")
        rows.append(("a disk that is full at a random byte", f"{cases:,} commands, {full:,} of which did not fit", f"{wrong} lost something", value))
    for value in newest("failing_calls"):
        points, tried, libraries, wrong = total(value, "points", "tried", "by_library", "wrong")
        rows.append(("each call that concerns files, allocates or goes to the (emulated) GPU fails once", f"{tried:,} of {points:,} places",
                     f"{wrong} crashed or lost something; {libraries} were ended by a library", value))
    for value in newest("fuzz"):
        found = sum(len(row["found"]) for row in value["targets"])
        rows.append((f"inputs that libFuzzer makes up, for {len(value['targets'])} readers", f"{value['runs']:,} inputs", f"{found} broke a reader", value))
    for value in newest("mutants"):
        number = value["rooms"]["all"]
        rows.append(("single mistakes put into the sources", f"{number['all']:,} mistakes", f"the tests found {number['found']:,}, {100 * number['found'] / number['all']:.0f} %", value))
    lines = ["| what was tried | how much | what came of it |", "|---|---|---|", *(f"| {what} | {much} | {wrong} |" for what, much, wrong, _ in rows)]
    return "\n".join([*lines, "", *(f"{origin(value)}" for value in [rows[0][3]] if rows)])


def trials():
    """Kills, full disks and calls that fail (scripts/kill_check.sh, scripts/failing_calls.sh)."""
    names = {"train": "`train`, resumed on other numbers of threads", "ranks": "`train --bits portable`, resumed on other numbers of ranks", "bench": "`bench --out`",
             "promote": "`runs promote`", "delete": "`runs delete`", "fetch": "`runs attach`: fetching a run from a target", "export": "`export`, ONNX",
             "torch": "`export`, PyTorch", "report": "`runs report`", "logits": "`eval --logits`"}
    parts = []
    for value in newest("kills"):
        lines = ["| command | cases | kill -9 | of these at a call of its files | a file torn, a result other than unbroken, or something left behind |", "|---|---|---|---|---|"]
        total = {key: sum(row[key] for row in value["rows"]) for key in ("cases", "kills", "at_calls", "wrong")}
        for row in [*value["rows"], {"kind": "", **total}]:
            lines.append(f"| {names.get(row['kind'], '**all**')} | {row['cases']} | {row['kills']} | {row['at_calls']} | {row['wrong']} |")
        parts.append("\n".join([*lines, "", f"{total['kills'] - total['at_calls']} kills came at a random moment of the clock. Seed {value['seed']}. {origin(value)}"]))
    for value in newest("full_disks"):
        count = {key: sum(row[key] for row in value["rows"]) for key in ("cases", "full", "wrong")}
        parts.append(f"A disk with a random number of free bytes: {count['cases']} commands, of which {count['full']} did not fit; {count['wrong']} went wrong. Seed "
                     f"{value['seed']}. {origin(value)}")
    for value in newest("failing_calls"):
        what = {"files": "concerns files", "memory": "allocates, one of each call stack", "gpu": "goes to the emulated GPU and its libraries"}
        lines = ["| each call that | points | tried | exit code 0, right result | exit code 1 (2: a network's file) | ended by a library | wrong |", "|---|---|---|---|---|---|---|"]
        for kind, text in what.items():
            row = {key: sum(row[key] for row in value["rows"] if row["kind"] == kind)
                   for key in ("points", "tried", "status_0", "status_1", "status_2", "by_library", "wrong")}
            lines.append(f"| {text} | {row['points']:,} | {row['tried']:,} | {row['status_0']:,} | {row['status_1'] + row['status_2']:,} | {row['by_library']:,} | {row['wrong']:,} |")
        libraries = ", ".join(f"{name} {count}" for name, count in sorted(value["libraries"].items()))
        scenarios = ", ".join(sorted({row["scenario"] for row in value["rows"]}))
        parts.append("\n".join([*lines, "", f"Short runs: {scenarios}. Processes that a library ended: {libraries or 'none'}. Seed {value['seed']}. {origin(value)}"]))
    return "\n\n".join(parts)


def mutants():
    """Single mistakes that the tests found, room by room (scripts/mutate.sh --record)."""
    parts = []
    for value in newest("mutants"):
        lines = ["| room | mutations | found |", "|---|---|---|"]
        for room, number in value["rooms"].items():
            name = "all" if room == "all" else f"`{room}`"
            lines.append(f"| {name} | {number['all']} | {number['found']} ({100 * number['found'] / number['all']:.0f} %) |")
        results = value["results"]
        suite = "and then by the whole suite" if value["whole_suite"] else "alone, without the whole suite"
        parts.append("\n".join(lines + ["", f"Each is one change of an operator, a border, a constant, a condition or a statement, tried by the tests of its room {suite}. "
                                        f"Not counted: {results.get('equal', 0)} that cannot be seen (`tests/mutants/equal.txt`), "
                                        f"{results.get('not compiled', 0)} that do not compile. {sum(results.values())} of {value['planned']} planned were tried. {origin(value)}"]))
    return "\n\n".join(parts)


def fuzz():
    """What fuzzing has reached in each target, as far as it has been recorded (scripts/fuzz.sh --record)."""
    parts = []
    for value in newest("fuzz"):
        lines = ["| target | runs | runs/s | edges of code reached | features | inputs kept | found |", "|---|---|---|---|---|---|---|"]
        lines += [f"| {row['target']} | {row['runs']:,} | {row['runs'] / max(row['seconds'], 0.1):,.0f} | {row['edges']:,} | {row['features']:,} | "
                  f"{row['inputs']:,} | {len(row['found'])} |" for row in value["targets"]]
        parts.append("\n".join([*lines, "", f"{value['runs']:,} runs in all, under AddressSanitizer and UBSan. {value['versions']['compiler']}; {origin(value)}"]))
    return "\n\n".join(parts)

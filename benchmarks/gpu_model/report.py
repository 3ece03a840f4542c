"""The model's results as Markdown: the table between its two comments in benchmarks/NOTES.md."""
import re

BEGIN, END = "<!-- model of the GPU: benchmarks/gpu_model.py --write -->", "<!-- end -->"
HEAD = ("network", "kernel", "of", "blocks", "MB", "MFLOP", "issue, us", "loads that wait", "waits", "us", "largest parts of it beside its start, us")


def row(result, kernel):
    parts = sorted((item for item in kernel["items"].items() if item[0] != "start"), key=lambda item: -item[1])
    largest = ", ".join(f"{what} {us:.1f}" for what, us in parts[:3] if us >= 0.95)
    return (f"`{result['network']}`", kernel["kernel"], kernel["layer"], f"{kernel['blocks']}", f"{kernel['bytes'] / 1e6:.1f}",
            f"{kernel['flop'] / 1e6:,.0f}", f"{kernel['issue_us']:.1f}", f"{kernel['dependent_loads']}", f"{kernel['waits']}",
            f"{kernel['us']:.1f}", largest)


def sums(result):
    return ("", "**step**", "", "", "", "", "", "", f"{sum(k['waits'] for k in result['kernels'])}", f"**{result['step_us']:.0f}**",
            f"{result['steps']} of them and {result['test_steps']} of the test ({result['test_step_us']:.0f} each): "
            f"**{result['total_ms']:.2g} ms**")


def table(results):
    rows = [HEAD, ("---",) * len(HEAD)]
    for result in results:
        rows += [row(result, kernel) for kernel in result["kernels"]] + [sums(result)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def summary(results):
    """A network's steps and whole runs in each precision: {(network, precision): result}."""
    names, precisions = (list(dict.fromkeys(key[i] for key in results)) for i in (0, 1))
    rows = [("a step, us, and the whole of it, ms", *precisions), ("---",) * (1 + len(precisions))]
    for name in names:
        cells = (results[name, precision] for precision in precisions)
        rows.append((f"`{name}`", *(f"{cell['step_us']:.0f}, {cell['total_ms']:.2g}" for cell in cells)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def items(result):
    lines = [f"{result['network']}, {result['precision']}, batch {result['batch']}: {result['step_us']} us a step"]
    for kernel in result["kernels"] + result["test_kernels"]:
        parts = ", ".join(f"{what} {us:.2f}" for what, us in kernel["items"].items())
        lines.append(f"  {kernel['kernel']} {kernel['layer']}, {kernel['blocks']} blocks: {kernel['us']:.2f} us ({parts})")
    return "\n".join(lines)


def put_into(path, text, only_check):
    with open(path, encoding="utf-8") as file:
        old = file.read()
    pattern = re.compile(re.escape(BEGIN) + r"\n.*?" + re.escape(END), re.DOTALL)
    if not pattern.search(old):
        raise ValueError(f"{path}: no line {BEGIN!r} with {END!r} behind it")
    new = pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", old)
    if only_check and new != old:
        raise ValueError(f"{path}: not what the model says of these sources; run benchmarks/gpu_model.py --write")
    if not only_check:
        with open(path, "w", encoding="utf-8") as file:
            file.write(new)

"""The tables of benchmarks/ranks.py: exchanges and steps on each network, and when few bits pay (called by tables.py)."""
import math

from record import newest, origin

MODELLED = (10e9, 1e9, 100e6, 25e6)  # bits a second of a link in each direction
LINKS = {"1gbit": 1e9, "100mbit": 100e6}


def milliseconds(value):
    return f"{1e3 * value['median']:.3g} ({1e3 * value['min']:.3g})"


def place_name(place):
    if place["machines"] == 1:
        return f"{place['ranks']} on 1 machine"
    speed = {"1gbit": "1 Gbit/s", "100mbit": "100 Mbit/s"}.get(place["link"], "unlimited")
    return f"2 on 2 machines, {speed}"


def rows_of(place, model):
    return {"torch" if row.get("torch") else row["bits"]: row for row in place["rows"] if row["model"] == model}


def footing(value):
    load = max([value["load_before"][0], *(place["load"] for place in value["places"])])
    return (f"One thread a rank; {value['repeats']} turn(s). Other programs kept the machine's cores busy: a load of up to {load:.0f}. {origin(value)}")


def exchanges():
    parts = []
    for value in newest("ranks"):
        lines = ["| ranks | network | 32 bits | 16 bits | 1 bit | DDP, 32 bits | socket, 32 bits | step: 32 bits | 16 bits | 1 bit | DDP |", "|---" * 11 + "|"]
        for place in value["places"]:
            for model in dict.fromkeys(row["model"] for row in place["rows"]):
                rows = rows_of(place, model)
                plain = next((s["seconds"] for s in place.get("socket", []) if s["bytes"] == rows[32]["bytes"]), None)
                sides = [rows.get(side) for side in (32, 16, 1, "torch")]
                cells = [[milliseconds(row[key]) if row else "-" for row in sides] for key in ("exchange_seconds", "step_seconds")]
                lines.append(f"| {place_name(place)} | `{model}`, {rows[32]['bytes']:,} bytes | {' | '.join(cells[0])} | "
                             f"{milliseconds(plain) if plain else '-'} | {' | '.join(cells[1])} |")
        small = [f"{milliseconds(s['seconds'])} ms at {place_name(place)[17:]}" for place in value["places"] for s in place.get("socket", []) if s["bytes"] == 30_000]
        torch = next((place["torch"] for place in value["places"] if "torch" in place), "none")
        parts.append("\n".join([*lines, "", f"ms, median (least). Exchange of the whole gradient, then a step of training at the same whole batch. DDP: PyTorch {torch}, gloo. A "
                                f"plain socket's 30,000 bytes, about `quick`'s with 1 bit: {'; '.join(small)}. {footing(value)}"]))
    return "\n\n".join(parts)


def few_bits():
    """An exchange as latency and coding + bytes / bandwidth, beside what was measured."""
    parts = []
    for value in newest("ranks"):
        two = {place["link"]: place for place in value["places"] if place["machines"] == 2}
        if None not in two:
            continue
        lines = ["| network | bits | bytes sent a step | latency and coding | " + " | ".join(f"{speed / 1e6:,.0f} Mbit/s" for speed in MODELLED) + " | 1 bit pays below |",
                 "|---" * (5 + len(MODELLED)) + "|"]
        for model in dict.fromkeys(row["model"] for row in two[None]["rows"]):
            fixed = rows_of(two[None], model)
            cost = {bits: min(max(0, rows_of(place, model)[bits]["exchange_seconds"]["min"] - 8 * fixed[bits]["sent"] / LINKS.get(link, math.inf))
                              for link, place in two.items()) for bits in (32, 16, 1)}
            saved, slower = fixed[32]["sent"] - fixed[1]["sent"], cost[1] - cost[32]
            pays = f"{8 * saved / slower / 1e6:,.0f} Mbit/s" if slower > 0 else "any speed"
            for bits in (32, 16, 1):
                cells = []
                for speed in MODELLED:
                    cell = f"{1e3 * (cost[bits] + 8 * fixed[bits]['sent'] / speed):.3g}"
                    for link, place in two.items():
                        if LINKS.get(link) == speed:
                            cell += f" (measured {1e3 * rows_of(place, model)[bits]['exchange_seconds']['min']:.3g})"
                    cells.append(cell)
                lines.append(f"| `{model}` | {bits} | {fixed[bits]['sent']:,} | {1e3 * cost[bits]:.3g} | {' | '.join(cells)} | {pays if bits == 1 else ''} |")
        parts.append("\n".join([*lines, "", "ms of an exchange between two machines, the least measured; modelled as latency and coding (the least of measured - bytes / bandwidth over "
                                f"the links) + bytes / bandwidth. {footing(value)}"]))
    return "\n\n".join(parts)


def accuracy():
    lines = ["| network | epochs | with 32 bits first | seeds | 32 bits | 1 bit | difference |", "|---|---|---|---|---|---|---|"]
    notes = []
    for value in newest("ranks_accuracy"):
        cells = [f"{side['percent']['mean']:.3f} +- {side['percent']['standard_error']:.3f} %" for side in value["bits"]]
        lines.append(f"| `{value['model']}` | {value['epochs']} | {value['warm_start_images']:,} images | {value['seeds']} | {' | '.join(cells)} | "
                     f"{value['difference']:+.3f} points |")
        notes.append(f"{value['ranks']} ranks. {origin(value)}  ")
    return "\n".join([*lines, "", "Test accuracy, mean +- standard error over the seeds.  ", *notes])


LOSSES = {"killed": "killed (SIGKILL)", "frozen": "frozen (SIGSTOP)", "cut": "link taken down", "absent": "never joins"}


def losses():
    """What benchmarks/rank_losses.py counted."""
    lines = ["| a rank is | trials | named, with host, process and step | all ended in time | files whole | seconds until the last rank had ended | at most |",
             "|---|---|---|---|---|---|---|"]
    notes = []
    for kind, name in LOSSES.items():
        for value in newest(f"rank_losses_{kind}"):
            row, seconds = value["row"], value["row"]["seconds"]
            lines.append(f"| {name} | {row['trials']} | {row['named']} | {row['in_time']} | {row['whole'] if kind != 'absent' else ''} | "
                         f"{seconds['median']:.2f} ({seconds['min']:.2f} to {seconds['max']:.2f}) | {row['limit'] + 5} |")
            notes.append(f"{name}: `--rank-timeout {value['rank_timeout']}`, a load of {value['load_after'][0]:.0f}; {origin(value)}  ")
    text = "Three ranks on a machine; two on two machines for the link. A rank that never joins is named by its number."
    for value in newest("rank_losses_resumed"):
        row = value["row"]
        text += (f" Runs with `--bits portable` whose ranks were killed {row['kills']} times in all at random moments, and which went on with another number of ranks each time: "
                 f"{row['same_digest']} of {row['runs']} ended with the digest of one that was not broken.")
        notes.append(f"killed again and again: a load of {value['load_after'][0]:.0f}; {origin(value)}  ")
    return "\n".join([*lines, "", text + "  ", *notes])

"""The stage `first_contact` of gpu_check: first_contact.cu measures on the device the constants behind the predicted times."""
import json

from machine import Outcome, last_line, say

TOLD = ("node of a graph, plain", "node of a graph, cooperative", "grid.sync(), ", "barrier by hand, ")


def first_contact(machine, _device):
    """Fails only if nothing could be measured or a kernel cannot be loaded inside a capture; refused figures are reported."""
    program, why_not = machine.compiled("first_contact")
    if not program:
        return Outcome("skipped", why_not)
    ran = machine.run([program, "--json"])
    machine.details["run"] = ran.json()
    try:
        figures = json.loads(last_line(ran.output, None))["figures"]
    except (ValueError, KeyError, TypeError):
        return Outcome("failed", f"exit {ran.code}: {last_line(ran.output)}", machine.details)
    machine.details["figures"] = figures
    for figure in figures:
        value = figure["error"] if "error" in figure else f"{figure['value']:10.2f} {figure['unit']}"
        say(f"  {figure['name']:60} {value}")
    capture = [figure["error"] for figure in figures if figure["name"].startswith("first launch") and "error" in figure]
    if ran.code != 0 or capture:
        return Outcome("failed", f"exit {ran.code}; {capture[0] if capture else figures[-1].get('error')}", machine.details)
    told = [f"{figure['name']} {figure['value']:.2f} {figure['unit']}".strip() for figure in figures
            if "error" not in figure and figure["name"].startswith(TOLD)]
    return Outcome("passed", "; ".join(told), machine.details)

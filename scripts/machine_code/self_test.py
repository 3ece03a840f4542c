"""Tests that check.py finds the faults of planted.cu, each at its line and for its reason, and nothing in the correct
kernels, and that it passes all of them once their marks are removed.  self_test.py NVCC NVDISASM
"""
import pathlib
import re
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parent
WANTED = re.compile(r"// wanted: (.*)$")
MARK = re.compile(r"// +(shared )?loads in a row: \d+$")


def checked(text, tools):
    with tempfile.TemporaryDirectory() as tree:
        kernels = pathlib.Path(tree, "kernels")
        kernels.mkdir()
        (kernels / "planted.cu").write_text(text, encoding="utf-8")
        ran = subprocess.run([sys.executable, str(FOLDER / "check.py"), *tools, "--tree", tree], capture_output=True, text=True,
                             check=False)
    return ran.returncode, ran.stdout + ran.stderr


def main():
    tools = sys.argv[1:3]
    lines = (FOLDER / "planted.cu").read_text(encoding="utf-8").splitlines()
    lines = [re.sub(r"^//\s+(loads in a row)", r"// \1", line) for line in lines]
    wanted = {number + 1: found[1] for number, line in enumerate(lines, 1) if (found := WANTED.search(line))}
    code, output = checked("\n".join(lines) + "\n", tools)
    faults = re.findall(r"^kernels/planted\.cu:(\d+): (?:\w+: )?(.*)$", output, re.MULTILINE)
    missed = [f"line {number}: not found: {reason}" for number, reason in wanted.items()
              if not any(int(line) == number and reason in text for line, text in faults)]
    missed += [f"line {line}: that is no fault: {text}" for line, text in faults if int(line) not in wanted]
    missed += [] if code == 1 else [f"it exits with {code}, 1 wanted"]
    good = [line for line in lines if not MARK.search(line) or "batched<4>" in line]
    code, output_of_good = checked("\n".join(good) + "\n", tools)
    missed += [] if code == 0 else [f"without the faults it exits with {code}:\n{output_of_good}"]
    if missed:
        sys.exit("self-test: " + "\n".join(missed) + f"\n{output}")
    print(f"self-test: {len(wanted)} planted faults are found, and nothing else")


if __name__ == "__main__":
    main()

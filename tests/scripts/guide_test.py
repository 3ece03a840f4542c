#!/usr/bin/env python3
"""The guides of docs/, by doing what they say: every command of both, in order, in a scratch copy, with the real program.

A block ```sh is run line by line (a line that ends in a backslash goes on); ```sh no-test is not: it builds the program. A block ```text is
what the command before it prints: each of its lines must be there, in order, where a number stands for any number and ... for anything. Other
machines are played: ssh and docker as tests/doctor/played_machine.hpp plays them, sbatch, kubectl, az and nvidia-smi by programs that keep
their words. TRAINER names the program, TRAINER_EMULATED=1 says that its GPU is emulated. Commands that need MPI are skipped, and named, where
there is none.
"""
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SOURCES = pathlib.Path(__file__).resolve().parents[2]
TRAINER = os.environ["TRAINER"]
GUIDES = {"en": SOURCES / "docs/guide.en.md", "fr": SOURCES / "docs/guide.fr.md"}
MOST_NOT_RUN = 1  # the block that clones and builds
KEEPS_WORDS = """#!/bin/sh
{ printf '%s\\0' "$@"; printf '\\004\\0'; } >>"$PLAY/NAME.log"
"""
# What the image's program says on a machine with a GPU, and what the tools there say; else docker is that of the played machine.
DOCKER = """#!/bin/sh
case "$*" in
  *"--entrypoint mpirun"*) echo "mpirun (Open MPI) 4.1.4"; exit ;;
  *"devices --json"*) echo '{"gpu":{"used":true,"name":"Tesla T4"}}'; exit ;;
esac
exec "$PLAY/docker" "$@"
"""
SMI = "#!/bin/sh\necho 'Tesla T4, 580.65.06, 7.5'\n"
TOOLKIT = "#!/bin/sh\necho 'NVIDIA Container Toolkit CLI version 1.17.8'\n"


class Command:
    def __init__(self, line, number):
        self.line, self.number = line, number
        self.expected = []


def commands_of(path):
    """The commands of a guide with what they print, and how many blocks are not run."""
    commands, not_run, kind, held = [], 0, None, ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            assert kind is None or line == "```", f"{path}:{number}: a block in a block"
            kind = line[3:] if kind is None else None
            assert kind in (None, "sh", "sh no-test", "text"), f"{path}:{number}: an unknown block {kind}"
            not_run += kind == "sh no-test"
            assert not held, f"{path}:{number}: a command goes on behind its block"
        elif kind == "sh":
            held += line
            if held.endswith("\\"):
                held = held[:-1]
                continue
            commands.append(Command(held, number))
            held = ""
        elif kind == "text":
            assert commands, f"{path}:{number}: printed by no command"
            commands[-1].expected.append(line)
    return commands, not_run


def pattern_of(line):
    """A regular expression for a printed line: numbers and ... may differ, and spaces, which columns have more or less of."""
    line = re.sub(r"20\d{6}-\d{6}", "20260101-000000", line)
    parts = re.split(r"(\.\.\.| +|(?<![\w.])[0-9][0-9,]*(?:\.[0-9]+)?(?:e-?[0-9]+)?(?![\w]))", line.strip())
    number = r"[0-9][0-9,]*(?:\.[0-9]+)?(?:e-?[0-9]+)?"
    words = {"...": ".*"}
    return "".join(words.get(part, r"\s+" if part.isspace() else number if re.fullmatch(number, part) else re.escape(part)) for part in parts if part)


def missing_line(expected, printed):
    """The first expected line that is not printed behind the one before it; None if all are."""
    lines = iter(re.sub(r"20\d{6}-\d{6}", "20260101-000000", line).strip() for line in printed.splitlines())
    for line in expected:
        if line.strip() in ("", "..."):
            continue
        pattern = re.compile(pattern_of(line))
        if not any(pattern.fullmatch(one) for one in lines):
            return line
    return None


def picture():
    """A four, as a person might write it, as PNG: dark strokes on light paper."""
    rows = [bytearray([0] + [235] * 112) for _ in range(112)]
    for along in range(41):
        for off in range(8):
            for x, y in ((30 + off, 22 + along), (30 + along + off % 2, 60 + off), (64 + off, 20 + 2 * along if along < 38 else 94)):
                rows[y][1 + x] = rows[min(y + 1, 111)][1 + x] = 25
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 112, 112, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


class Text(unittest.TestCase):
    def test_both_guides_have_the_same_commands_and_outputs(self):
        (english, blocks), (french, others) = (commands_of(path) for path in GUIDES.values())
        self.assertEqual([one.line for one in english], [one.line for one in french])
        for one, other in zip(english, french):
            self.assertEqual(one.expected, other.expected, one.line)
        self.assertEqual(blocks, others)
        self.assertLessEqual(blocks, MOST_NOT_RUN)
        self.assertGreater(len(english), 30)

    def test_a_printed_line_is_found_by_its_words(self):
        printed = "epoch 1/1  train loss 0.2392  test 99.11 +- 0.09 %\nCPU   AMD EPYC\n20261201-105845-quick-1 quick\n"
        self.assertIsNone(missing_line(["epoch 1/1  train loss 0.3  test 98.5 +- 0.1 %", "...", "20250101-000000-quick-1  quick"], printed))
        self.assertIsNone(missing_line(["CPU           ..."], printed))
        self.assertEqual(missing_line(["epoch 1/1  train loss none  test 98.5 +- 0.1 %"], printed), "epoch 1/1  train loss none  test 98.5 +- 0.1 %")
        self.assertEqual(missing_line(["CPU ...", "epoch ..."], printed), "epoch ...", "the order counts")
        self.assertEqual(missing_line(["digest 18705c43"], "digest 18705c44"), "digest 18705c43")


    def test_the_block_of_a_gpu_has_the_lines_that_a_gpu_prints(self):
        if os.environ.get("TRAINER_EMULATED") != "1":
            self.skipTest("this program has no emulated GPU: its device report is not compared with the guides'")
        printed = subprocess.run([TRAINER, "devices"], capture_output=True, text=True, check=True,
                                 env={**os.environ, "CUDA_VISIBLE_DEVICES": "0"}).stdout
        for path in GUIDES.values():
            block = re.findall(r"^    (\S.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            self.assertEqual(len(block), 6)
            for line, there in zip(block, printed.splitlines()):
                self.assertEqual(re.sub(r"[\d.]+.*|(?<=name: ).*|(?<=pciBusID ).*", "", line), re.sub(r"[\d.]+.*|(?<=name: ).*|(?<=pciBusID ).*", "", there))


class Commands(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / "mnist-trainer"
        self.play = pathlib.Path(scratch.name) / "play"
        for folder in (self.folder, self.play / "here", self.play / "there", self.play / "home", self.play / "bin"):
            folder.mkdir(parents=True)
        shutil.copytree(SOURCES / "deploy", self.folder / "deploy")
        (self.folder / "photo.png").write_bytes(picture())
        played = (SOURCES / "tests/doctor/played_machine.hpp").read_text(encoding="utf-8")
        scripts = re.findall(r'R"sh\((.*?)\)sh"', played, re.DOTALL)
        self.program("bin/ssh", scripts[0])
        self.program("docker", scripts[1])
        self.program("bin/docker", DOCKER)
        self.program("bin/nvidia-smi", SMI)
        self.program("bin/nvidia-ctk", TOOLKIT)
        for name in ("sbatch", "kubectl", "az"):
            self.program("bin/" + name, KEEPS_WORDS.replace("NAME", name))
        (self.play / "here/image").write_text("layers of one\n", encoding="utf-8")
        bin_folder = self.play / "program"
        bin_folder.mkdir()
        (bin_folder / "trainer").symlink_to(TRAINER)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRAINER_", "OMPI_", "PMIX_"))}
        self.environment.update(PATH=f"{self.play / 'bin'}:{bin_folder}:/usr/bin:/bin", PLAY=str(self.play), TRAINER=TRAINER,
                                TRAINER_RUNS=str(self.folder / "runs"), HOME=str(self.play / "home"),
                                XDG_RUNTIME_DIR=str(self.play), CUDA_VISIBLE_DEVICES="", OMP_WAIT_POLICY="passive", LC_ALL="C.UTF-8")

    def program(self, name, text):
        path = self.play / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def why_not(self, line):
        """Why a command cannot run here; None if it can."""
        has_mpi = shutil.which("mpirun") and list(pathlib.Path(TRAINER).parent.glob("libmnist-trainer-*.so"))
        return None if has_mpi or "--ranks" not in line.split() else "no MPI"

    def words_of(self, program):
        return (self.play / f"{program}.log").read_text(encoding="utf-8").split("\0")

    def test_every_command_of_the_guides(self):
        skipped = []
        for command in commands_of(GUIDES["en"])[0]:
            reason = self.why_not(command.line)
            if reason:
                skipped.append(f"{command.line} ({reason})")
                continue
            with self.subTest(line=command.number, command=command.line):
                done = subprocess.run(["/bin/sh", "-c", command.line], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
                printed = done.stdout
                self.assertEqual(done.returncode, 0, printed)
                missing = missing_line(command.expected, printed)
                self.assertIsNone(missing, f"not printed: {missing}\n{printed}")
        print(f"\nskipped: {len(skipped)} of the guides' commands" + "".join(f"\n  {one}" for one in skipped), file=sys.stderr)
        self.check_played_words()

    def check_played_words(self):
        """What the played machines were asked for."""
        self.assertIn("me@my-vm.example.org", self.words_of("ssh"))
        self.assertIn("--gpus", self.words_of("docker"))
        self.assertEqual(self.words_of("az")[:5], ["ml", "job", "create", "--file", "job.yaml"])
        for program, folder in (("sbatch", "deploy/slurm/"), ("kubectl", "deploy/")):
            named = [word for word in self.words_of(program) if word.startswith(folder)]
            self.assertTrue(named, program)
            for word in named:
                self.assertTrue((SOURCES / word).is_file(), word)
        self.assertIn("/opt/mnist-trainer/bin/trainer", (self.folder / "job.yaml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()

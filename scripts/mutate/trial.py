"""One mutation at a time, in a copy of the tree: build, the room's test programs, the whole suite."""
import os
import re
import shutil
import signal
import subprocess
import time

MOST_TEST_SECONDS = 1200  # of ctest for one test
FIRST_LIMIT = 1800  # seconds that an unmutated test program may take
LEAST_SECONDS = float(os.environ.get("MUTATE_LEAST_SECONDS", "60"))  # before a test counts as hung


class Tree:
    """A worktree at this one's commit, with its changes."""

    def __init__(self, root, path, preset):
        self.root, self.path, self.preset = root, path, preset
        self.build_folder = os.path.join(path, "build", preset)
        self.environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "TRAINER_TESTS": "ON", "CCACHE_BASEDIR": path}
        self.environment.pop("TRAINER_CUDA", None)  # the preset says which engines there are
        self.log = os.path.join(os.path.dirname(path), "log")
        self.seconds = {}  # of each unmutated test program
        self.targets = None

    def git(self, *arguments, where=None):
        return subprocess.run(["git", "-C", where or self.root, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

    def prepare(self):
        """Makes the copy what this tree is now; what is the same keeps its time, so that little is built."""
        commit = self.git("rev-parse", "HEAD").strip()
        if not os.path.exists(os.path.join(self.path, ".git")):
            self.git("worktree", "prune")
            self.git("worktree", "add", "--quiet", "--detach", self.path, commit)
        for name in set(self.git("ls-files", "-z").split("\0") + self.git("ls-files", "-z", "--others", "--exclude-standard").split("\0")) - {""}:
            copy(os.path.join(self.root, name), os.path.join(self.path, name))
        for name in self.git("ls-files", "-z", where=self.path).split("\0")[:-1]:
            if not os.path.lexists(os.path.join(self.root, name)) and os.path.lexists(os.path.join(self.path, name)):
                os.remove(os.path.join(self.path, name))

    def run(self, command, limit, quiet_cache=False):
        """(exit code, output) of a command; None as the code if it hung. Nothing that it started outlives it."""
        environment = {**self.environment, "CCACHE_READONLY": "1"} if quiet_cache else self.environment
        with open(self.log, "wb") as log:
            child = subprocess.Popen(command, cwd=self.path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            try:
                code = child.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                child.wait()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return code, log.read()

    def build(self, targets, mutated):
        return self.run(["ninja", "-C", self.build_folder, *(["-j2"] if (os.cpu_count() or 1) < 3 else []), *targets], 7200, quiet_cache=mutated)

    def configure(self):
        code, output = self.run([os.path.join(self.path, "scripts", "build.sh"), self.preset, "--configure"], 1200)
        if code != 0:
            raise RuntimeError(f"configuring {self.path} failed:\n{output[-2000:]}")

    def test(self, program, limit):
        """(found, by which case) of one test program, to its first failure."""
        program, _, cases = program.partition(" ")
        code, output = self.run([os.path.join(self.build_folder, "tests", program), "--gtest_fail_fast", "--gtest_brief=1",
                                 f"--gtest_filter={cases or '*'}"], limit)
        case = re.search(r"\[  FAILED  \] ([\w./]+)", output)
        return code != 0, f"{program}: {case.group(1) if case else 'hung' if code is None else f'ended with {code}'}"

    def programs_here(self, programs):
        """Those that this preset has: without an emulated GPU there are fewer."""
        if self.targets is None:
            _, output = self.run(["ninja", "-C", self.build_folder, "-t", "targets", "all"], 600)
            self.targets = set(re.findall(r"^(\w+): phony", output, re.MULTILINE))
        return [program for program in programs if program.split()[0] in self.targets]

    def measure(self, programs):
        """Requires the unmutated programs to pass, once a run, and keeps their seconds."""
        for program in programs:
            if program in self.seconds:
                continue
            print(f"{program} without a mutation", flush=True)
            code, output = self.build(program.split()[:1], mutated=False)
            if code != 0:
                raise RuntimeError(f"{program} does not build without a mutation:\n{output[-2000:]}")
            begin = time.monotonic()
            found, by = self.test(program, FIRST_LIMIT)
            if found:
                raise RuntimeError(f"without a mutation, {by} fails already; see {self.log}")
            self.seconds[program] = time.monotonic() - begin

    def suite(self):
        """(found, by which test) of everything that is not slow, to the first failure."""
        code, output = self.build([], mutated=True)
        if code != 0:
            return True, "the build of all tests"
        code, output = self.run(["ctest", "--test-dir", self.build_folder, "--label-exclude", "slow|long", "--stop-on-failure", "--parallel", "2",
                                 "--timeout", str(MOST_TEST_SECONDS)], 4 * 3600)
        case = re.search(r"Test +#\d+: (\S+) \.*\**(?:Failed|Timeout|Exception|Not Run)|: (\S+) \(Failed\)", output)
        return code != 0, case.group(1) or case.group(2) if case else "the suite"

    def trial(self, mutation, programs, whole_suite):
        """What became of a mutation: result, by, stage."""
        path = os.path.join(self.path, mutation.path)
        with open(path, encoding="utf-8") as file:
            source = file.read()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(mutation.applied_to(source))
            for program in programs:  # a mutation that the first one finds needs no other to be built
                code, _ = self.build(program.split()[:1], mutated=True)
                if code != 0:
                    return "not compiled", "", "build"
                found, by = self.test(program, max(LEAST_SECONDS, 5 * self.seconds[program]))
                if found:
                    return "found", by, "room"
            if whole_suite:
                found, by = self.suite()
                if found:
                    return "found", by, "suite"
            return "survived", "", "suite" if whole_suite else "room"
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(source)


def copy(source, target):
    """Copies a file unless the copy is the same."""
    if not os.path.lexists(source):
        return
    if os.path.islink(source):
        if not os.path.islink(target) or os.readlink(target) != os.readlink(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.lexists(target):
                os.remove(target)
            os.symlink(os.readlink(source), target)
        return
    if not os.path.isfile(source):
        return
    with open(source, "rb") as file:
        content = file.read()
    try:
        with open(target, "rb") as file:
            same = file.read() == content
    except OSError:
        same = False
    if not same:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
        shutil.copymode(source, target)

"""The sides of gpu_vs_torch.py: a peer in its own process that waits between requests (peer.py has the
protocol), and the trainer with one process per request. Whatever a side does instead of replying is a Failed.
"""
import json
import os
import select
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = {"torch-eager": ("torch_gpu_peer.py", "eager"), "torch-compile": ("torch_gpu_peer.py", "compile"),
         "torch-graph": ("torch_gpu_peer.py", "graph"), "jax": ("jax_gpu_peer.py", "jax")}


class Failed(Exception):
    """A side that died or did not reply in time; the text is for the record."""


class Peer:
    """One engine on one network, in its own process."""

    def __init__(self, options, engine, plan, epochs):
        script, name = PEERS[engine]
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        command = [options.python, "-u", os.path.join(HERE, script), "--plan", plan, "--data", options.data, "--engine", name,
                   "--device", options.device, "--precision", options.precision, "--images", str(options.limit_train),
                   "--epochs", str(epochs)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def reply(self, seconds):
        """Lines are whole: a peer writes one per request, and the next request is sent only after it is read."""
        ready = select.select([self.process.stdout], [], [], max(0, seconds))[0]
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        if ready:
            self.process.wait()
        self.errors.seek(0)
        said = [text.strip() for text in self.errors.read().splitlines() if text.strip()]
        raise Failed(f"exit {self.process.returncode}: {said[-1] if said else 'it said nothing'}" if ready else
                         f"no answer within {seconds:.0f} s")

    def ask(self, seconds, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # the reply says why
        return self.reply(seconds)

    def end(self):
        self.process.kill()
        self.process.communicate()
        self.errors.close()


class Trainer:
    """Our side of the same requests, with one process for each."""

    def __init__(self, options):
        self.options = options
        self.environment = dict(os.environ)
        if options.trainer_libraries:
            inherited = os.environ.get("LD_LIBRARY_PATH")
            self.environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [options.trainer_libraries, inherited]))

    def command(self, model, *more):
        limit = ["--limit-train", str(self.options.limit_train)] if self.options.limit_train < 55000 else []
        return [self.options.trainer, "train", "--model", model, "--device", self.options.device, "--data", self.options.data,
                "--no-save", "--json", *self.precision(), *limit, *more]

    def precision(self):
        return ["--precision", self.options.precision] if self.options.device == "cuda" else []

    def call(self, command, seconds):
        """A command's events; those of epochs are a list with the time at which each was read."""
        return self.finish(subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            text=True), seconds)

    @staticmethod
    def finish(process, seconds):
        try:
            out, errors = process.communicate(timeout=max(1, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f"no end within {seconds:.0f} s") from None
        if process.returncode != 0:
            raise Failed(f"exit {process.returncode}: {(errors.strip().splitlines() or ['it said nothing'])[-1]}")
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def epochs(self, model, count, seconds, *more):
        events = self.call(self.command(model, "--epochs", str(count), *more), seconds)
        return [event for event in events if event["event"] == "epoch"]

    def own_precision(self):
        """The precision that the trainer uses if none is requested, from its event "run"."""
        command = [self.options.trainer, "train", "--device", self.options.device, "--data", self.options.data, "--no-save",
                   "--json", "--limit-train", "256", "--epochs", "1"]
        return self.call(command, 120)[0].get("precision", "fp32")

    def plan(self, model):
        return subprocess.run([self.options.trainer, "models", model, "--json"], stdout=subprocess.PIPE, text=True, check=True,
                              env=self.environment).stdout


def in_turn(count, deadline, engines, measure):
    """Calls measure(engine) for each engine in turn, `count` rounds or until the deadline; {engine: [...]}, {engine: error}."""
    values, errors = {engine: [] for engine in engines}, {}
    for turn in range(count):
        if turn and time.monotonic() > deadline:
            break
        for engine in engines:
            if engine in errors:
                continue
            try:
                values[engine].append(measure(engine, turn))
            except Failed as failure:
                errors[engine] = str(failure)
    return values, errors


def timed(command, seconds, environment):
    begin = time.perf_counter()
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=max(1, seconds),
                              env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end within {seconds:.0f} s") from None
    if done.returncode != 0:
        raise Failed(f"exit {done.returncode}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return time.perf_counter() - begin

"""Nothing outlives gpu_check.sh, however it ends: killed, interrupted, or left alone by its caller. Its programs start others
in sessions of their own, which no signal to a group reaches."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

from played_check import ROOT, Played, command_line

sys.path.insert(0, os.path.join(ROOT, "scripts/gpu"))
from processes import children_of  # pylint: disable=wrong-import-position


def end_by(number):
    return lambda caller: os.kill(caller.pid, number)


def kill_check(caller):
    """The supervisor's only child, which runs the stages; the supervisor where it has none yet."""
    os.kill((children_of(caller.pid) or [caller.pid])[0], signal.SIGKILL)


def kill_group(caller):
    os.killpg(caller.pid, signal.SIGKILL)


ENDINGS = {
    "the supervisor is killed": end_by(signal.SIGKILL),
    "it is terminated": end_by(signal.SIGTERM),
    "it is interrupted": end_by(signal.SIGINT),
    "its terminal is gone": end_by(signal.SIGHUP),
    "the check is killed": kill_check,
    "its group is killed": kill_group,
}


def hear_signals():
    """What started these tests may have them ignored: a shell does in the background, nohup does too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Endings(unittest.TestCase):
    def start(self, wrapper=()):
        """A check that would never end by itself: trainings hang, each program leaves a stray."""
        played = Played()
        self.addCleanup(shutil.rmtree, played.folder, ignore_errors=True)
        played.play(HANGS="6543", STRAYS="6543")
        played.play_driver()
        process = subprocess.Popen([*wrapper, *played.command("--first")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL, cwd=played.folder, start_new_session=True, preexec_fn=hear_signals,
                                   env=played.environment(LD_LIBRARY_PATH=played.tools))
        return played, process

    def test_nothing_is_left_whenever_and_however_it_ends(self):
        seed = int(os.environ.get("GPU_CHECK_TEST_SEED", time.time_ns() % 1_000_000))
        moments = random.Random(seed)
        for round_number in range(2):
            running = {how: self.start() for how in ENDINGS}
            time.sleep(moments.uniform(0.1, 1) if round_number == 0 else moments.uniform(1, 3))
            for how, (_, process) in running.items():
                ENDINGS[how](process)
                time.sleep(moments.uniform(0, 0.1))
            for how, (played, process) in running.items():
                process.wait(timeout=20)
                self.assertEqual(played.left(), [], f"{how}; GPU_CHECK_TEST_SEED={seed}")

    def test_it_ends_with_its_caller(self):
        played, caller = self.start(["bash", "-c", '"$@"; true', "caller"])
        while not os.path.exists(played.at("calls")):
            time.sleep(0.02)
        os.kill(caller.pid, signal.SIGKILL)
        caller.wait()
        self.assertEqual(played.left(), [])

    def test_nohup_lets_it_go_on_without_its_caller(self):
        played, caller = self.start(["bash", "-c", '"$@"; true', "caller", "nohup"])
        while not os.path.exists(played.at("calls")):
            time.sleep(0.02)
        os.kill(caller.pid, signal.SIGKILL)
        caller.wait()
        time.sleep(1)
        check = [process for process in played.processes() if "check.py" in command_line(process)]
        self.assertNotEqual(check, [])
        os.kill(min(check), signal.SIGTERM)
        self.assertEqual(played.left(), [])

    def test_an_interrupted_check_leaves_its_record_and_says_how_it_ended(self):
        played, process = self.start()
        until = time.monotonic() + 20
        while time.monotonic() < until and (not os.path.exists(played.at("calls")) or played.trainings() == 0):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=20), 128 + signal.SIGINT)
        stages = played.record_in(played.at("benchmarks/records"))[1]["stages"]
        self.assertEqual(stages["conformance"]["status"], "passed")
        self.assertEqual(stages["nodes"]["status"], "cut")
        self.assertEqual(played.left(), [])


if __name__ == "__main__":
    unittest.main()

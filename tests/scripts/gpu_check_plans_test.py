"""gpu_check.sh --first and --second over played programs: what they run, in which time, and what comes out of them."""
import os
import time
import unittest

from played_check import PlayedCheck, write

FIRST = ["prove", "report", "first_contact", "conformance", "nodes", "replay", "sprint", "bits", "kernels", "sanitizer"]


class Plans(PlayedCheck):
    def setUp(self):
        super().setUp()
        self.out = os.path.join(self.played.folder, "out")

    def taken(self):
        return self.played.record_in(self.out)[1]

    def text_of(self, name):
        with open(os.path.join(self.out, name), encoding="utf-8") as file:
            return file.read()

    def test_a_first_contact_runs_its_stages_and_says_what_to_look_at(self):
        self.check(0, "--first", "--out", self.out)
        record = self.taken()
        self.assertEqual(list(record["stages"]), FIRST)
        self.assertEqual({stage["status"] for stage in record["stages"].values()}, {"passed"}, self.played.output)
        self.assertNotIn("PyTorch", self.played.output)
        looks = self.played.output[self.played.output.index("What to look at next:"):]
        self.assertRegex(looks, r"\n  sprint, product_norm of dense1: 3\.0 us, 3\.0 times what was predicted\n")
        for text in ("sprint, surprise: 0.5 us that nobody predicted", "bits: the same bits: sprint, 2 seeds"):
            self.assertIn(text, looks)
        self.assertNotIn("first_norm of conv1", looks.replace("1.2 times", ""), "not among the four that are furthest off")

    def test_four_files_come_out_and_no_more(self):
        self.check(0, "--first", "--out", self.out)
        name = self.played.record_in(self.out)[0]
        self.assertRegex(name, r"^\d{4}-\d\d-\d\d-nvidia-played-0123456789ab-first\.json$")
        self.assertEqual(sorted(os.listdir(self.out)), sorted([name, "first.log", "first-summary.md", "first-kernels.csv"]))
        self.assertEqual([line for line in self.text_of("first.log").splitlines() if line.startswith("==== prove")][0],
                         "==== prove (at most 10 s)")
        self.assertIn("| bits | passed |", self.text_of("first-summary.md"))
        self.check(0, "--second", "--out", self.out)
        self.assertEqual(len(os.listdir(self.out)), 4 + 3)

    def test_a_second_contact_measures_accuracy_and_the_peers_that_start_soonest_first(self):
        self.check(0, "--second", "--out", self.out)
        record = self.taken()
        self.assertEqual(list(record["stages"]), ["report", "accuracy", "sprint", "ranks", "benchmark"])
        self.assertIn("PyTorch's graph 10.000 ms", self.played.output)
        engines = [found["run"]["output"].split("engines ")[1].split()[0]
                   for found in record["stages"]["benchmark"]["details"]["rounds"]]
        self.assertEqual(engines, ["torch-eager,torch-graph,jax", "torch-compile"])

    def shortened(self, change):
        begin = time.monotonic()
        command = self.played.changed(change, "--plan=first", f"--out={self.out}", f"--records={self.out}")
        self.assertEqual(self.played.check(command=command), 1, self.played.output)
        return time.monotonic() - begin, self.taken()["stages"]

    def test_a_plan_ends_in_its_time_and_later_stages_keep_theirs(self):
        self.played.play(HANGS="6543", HANGS_IN="sprint", HANGS_FIRST="6543")
        took, stages = self.shortened("check.END_SECONDS = 1; check.PLANS = {'first': (18, dict.fromkeys(check.PLANS['first'][1], 1.6))}")
        self.assertLess(took, 18)
        self.assertEqual(list(stages), FIRST)
        self.assertEqual([name for name, stage in stages.items() if stage["status"] == "failed"], ["first_contact", "sprint", "bits"])
        self.assertIn("no end within", stages["bits"]["text"])
        self.assertEqual(stages["nodes"]["status"], "passed")

    def test_a_stage_that_does_not_end_is_cut_and_leaves_what_was_done(self):
        change = "check.PLANS = {'first': (11, check.PLANS['first'][1])}; check.STAGES['nodes'] = (check.die_slowly, 25, [])"
        took, stages = self.shortened("import time; check.die_slowly = lambda *_: time.sleep(6543); " + change)
        self.assertLess(took, 11)
        self.assertEqual({name: stage["status"] for name, stage in stages.items()},
                         {"prove": "passed", "report": "passed", "first_contact": "passed", "conformance": "passed", "nodes": "cut"})
        self.assertEqual(self.played.left(), [])

    def test_a_full_disk_is_told_and_the_check_goes_on(self):
        os.makedirs(self.out)
        for name in ("first.log", "first-summary.md.part"):
            os.symlink("/dev/full", os.path.join(self.out, name))
        self.check(1, "--first", "--out", self.out)
        self.assertIn("first.log could not be written: No space left on device; the check goes on without it", self.played.output)
        self.assertIn("FAILED: not written: ", self.played.output)
        self.assertEqual({stage["status"] for stage in self.taken()["stages"].values()}, {"passed"})

    def test_a_record_that_cannot_be_written_is_kept_among_the_working_files(self):
        records = self.played.at("benchmarks/records")
        write(records, "a file where the folder should be")
        self.check(1, "--stages", "report")
        self.assertIn("could not be written", self.played.output)
        kept = [name for name in os.listdir(self.played.at("gpu_check")) if name.endswith("played-0123456789ab.json")]
        self.assertEqual(len(kept), 1)

    def test_nothing_to_work_in_is_no_reason_to_stop(self):
        write(self.played.at("gpu_check"), "a file where the folder should be")
        self.check(0, "--stages", "report", "--out", self.out, TMPDIR=self.played.folder)
        self.assertIn("cannot be written (File exists); working in ", self.played.output)

    def test_the_device_is_held_awake_and_its_clock_is_read(self):
        if not self.played.play_driver():
            self.skipTest("no C compiler")
        self.check(0, "--stages", "report,sprint", LD_LIBRARY_PATH=self.played.tools)
        self.assertRegex(self.played.output, r"process \d+ holds a context on the device until the check ends")
        self.assertIn("sprint: SM clock 1980 MHz before, 1980 to 1980 while it ran, 1980 after", self.played.output)
        self.assertRegex(self.played.output, r"a process starts in [\d.]+ s beside the one that holds the device, in [\d.]+ s before")
        self.assertEqual(self.played.left(), [])
        self.check(0, "--stages", "report", "--again")
        self.assertNotIn("a process starts in", self.played.output)
        self.assertIn("note: no process holds the device awake, so each pays for waking it: libcuda.so.1", self.played.output)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""scripts/fuzz/run.py over a played fuzzer: the table, what is found, and what it refuses."""
import contextlib
import importlib.util
import io
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAYED = r"""#!/bin/sh
for word in "$@"; do
  case $word in
    --target=*) target=${word#--target=} ;;
    -artifact_prefix=*) folder=${word#-artifact_prefix=} ;;
  esac
done
echo "$@" >>"$(dirname "$0")/calls"
case $target in
  '') echo 'error: --target=NAME: one of good bad' >&2; exit 2 ;;
  planted) [ ! -e "$(dirname "$0")/blind" ] || exit 0; echo '==1==ERROR: AddressSanitizer: heap-buffer-overflow' >&2; exit 1 ;;
  bad) echo x >"${folder}crash-1"; echo 'SUMMARY: UndefinedBehaviorSanitizer: undefined-behavior a.cpp:1'
    echo 'Base64: eAo=' ;;
esac
echo '#4096 DONE cov: 1234 ft: 5678 corp: 1/1b'
echo 'stat::number_of_executed_units: 4096'
[ "$target" = good ]
"""


class FuzzRun(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        spec = importlib.util.spec_from_file_location("fuzz_run", ROOT / "scripts/fuzz/run.py")
        self.run_module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.run_module)
        self.run_module.ROOT, self.run_module.HERE = self.root, self.root / "tests"
        self.run_module.PROGRAM = self.root / "build/fuzz/fuzz"
        for target in ("good", "bad"):
            (self.root / "tests/seeds" / target).mkdir(parents=True)
            (self.root / "tests/seeds" / target / "seed").write_text("epochs: 3 word\n", encoding="ascii")
        self.run_module.PROGRAM.parent.mkdir(parents=True)
        self.run_module.PROGRAM.write_text(PLAYED, encoding="ascii")
        self.run_module.PROGRAM.chmod(0o755)

    def call(self, *words):
        """Exit code, standard output and standard error of a call."""
        out, err, before = io.StringIO(), io.StringIO(), sys.argv
        sys.argv = ["run.py", *words]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), self.assertRaises(SystemExit) as end:
                self.run_module.main()
        finally:
            sys.argv = before
        return end.exception.code, out.getvalue(), err.getvalue()

    def test_prints_a_row_for_each_target(self):
        code, out, _ = self.call("--seconds", "2", "good")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"good +4096 +\d+ +1234 +5678 +0 +0 +0\nall +4096")
        self.assertFalse((self.root / "tests/found/good").exists())
        self.assertIn("-max_total_time=2 -runs=-1", (self.root / "build/fuzz/calls").read_text(encoding="ascii"))

    def test_keeps_what_it_finds_and_fails(self):
        code, out, err = self.call("--seconds", "2")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"FOUND: bad: crash-1; the whole output: .*bad.log\n  SUMMARY: UndefinedBehaviorSanitizer.*\n  Base64: eAo=\n")
        self.assertRegex(out, r"bad .* 1\nall +8192")
        self.assertTrue((self.root / "tests/found/bad/crash-1").exists())
        code, _, _ = self.call("--seconds", "2", "good")
        self.assertEqual(code, 0)

    def test_refuses_an_unknown_target_and_a_fuzzer_that_is_blind(self):
        self.assertEqual(self.call("better")[0], 2)
        (self.root / "build/fuzz/blind").touch()
        self.assertIn("planted fault was not found", self.call("good")[0])

    def test_gives_the_words_of_the_seeds(self):
        path = self.run_module.dictionary("good", self.root)
        self.assertEqual(path.read_text(encoding="ascii"), '"epochs"\n"word"\n')


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""What trainer doctor writes for other programs, and deploy/'s files for them, read by these programs themselves: promtool (of Debian's
prometheus) and kubernetes-validate (of PyPI).  TRAINER names the program, TRAINER_PYTHON a Python that may have kubernetes-validate; status 77
if the program that a class needs is not here.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SOURCES = pathlib.Path(__file__).resolve().parents[2]
TRAINER = os.environ["TRAINER"]
PYTHON = os.environ.get("TRAINER_PYTHON") or sys.executable
PROMTOOL = shutil.which("promtool")
VALIDATE = [PYTHON, "-m", "kubernetes_validate"]
HAS_VALIDATE = subprocess.run([PYTHON, "-c", "import kubernetes_validate"], capture_output=True, check=False).returncode == 0
ALERTS = SOURCES / "deploy/prometheus/alerts.yaml"


def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **more)


def options(words):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", words))


class Trial(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def works(self, *words, **more):
        done = run(*words, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def fails(self, *words, **more):
        done = run(*words, **more)
        self.assertNotEqual(done.returncode, 0, done.stdout + done.stderr)


class Files(Trial):
    def test_xml(self):
        self.works(TRAINER, "doctor", "--prolog", "--device", "cpu", "--junit", "node.xml", cwd=self.folder)
        suite = xml.etree.ElementTree.parse(self.folder / "node.xml").getroot()
        cases = suite.findall("testcase")
        self.assertEqual(suite.tag, "testsuite")
        self.assertEqual(int(suite.get("tests")), len(cases))
        self.assertEqual(int(suite.get("skipped")), len(suite.findall("testcase/skipped")))
        self.assertIn("CPU", [case.get("name") for case in cases])

    def test_options_are_those_of_doctor(self):
        known = options(self.works(TRAINER, "doctor", "--help").stdout)
        for file in sorted((SOURCES / "deploy/kubernetes").glob("*.yaml")):
            given = re.findall(r"trainer,? doctor,? [^;\]]*", file.read_text(encoding="utf-8"))
            self.assertTrue(given)
            self.assertLessEqual(options(" ".join(given)), known)


@unittest.skipUnless(PROMTOOL, "there is no promtool (./scripts/install_packages.sh --health)")
class Promtool(Trial):
    def metrics(self, *words):
        """What doctor writes with --prom, for these options."""
        self.works(TRAINER, "doctor", *words, "--device", "cpu", "--prom", "node.prom", cwd=self.folder)
        return (self.folder / "node.prom").read_text(encoding="utf-8")

    def test_metrics(self):
        texts = [self.metrics("--prolog"), self.metrics("--prove", "--minutes", "0")]
        for text in texts:
            self.works(PROMTOOL, "check", "metrics", input=text)
        self.fails(PROMTOOL, "check", "metrics", input=texts[0].replace("# HELP trainer_health_status", "# TYPE"))
        for name in re.findall(r"\btrainer_\w+", "".join(re.findall(r"expr: .*", ALERTS.read_text(encoding="utf-8")))):
            self.assertIn(f"# TYPE {name} gauge\n", "".join(texts))

    def test_alerts(self):
        self.works(PROMTOOL, "check", "rules", ALERTS)
        tests = shutil.copy(SOURCES / "tests/scripts/alerts_test.yaml", self.folder)
        rules = shutil.copy(ALERTS, self.folder)
        self.works(PROMTOOL, "test", "rules", tests)
        text = ALERTS.read_text(encoding="utf-8")
        names = re.findall(r"alert: (\w+)", text)
        for name in names:  # each is needed
            pathlib.Path(rules).write_text(text.replace(f"alert: {name}\n", "alert: Another\n"), encoding="utf-8")
            self.fails(PROMTOOL, "test", "rules", tests)
        self.assertEqual(len(names), 6)


@unittest.skipUnless(HAS_VALIDATE, f"{PYTHON} has no kubernetes-validate (pip install kubernetes-validate)")
class Kubernetes(Trial):
    def test_kubernetes(self):
        files = sorted((SOURCES / "deploy/kubernetes").glob("*.yaml"))
        self.assertEqual(len(files), 2)
        for file in files:
            self.works(*VALIDATE, "--strict", file)
            wrong = self.folder / file.name
            wrong.write_text(file.read_text(encoding="utf-8").replace("resources:", "resource:"), encoding="utf-8")
            self.fails(*VALIDATE, "--strict", wrong)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    sys.exit(1 if not result.wasSuccessful() else 77 if len(result.skipped) == result.testsRun else 0)

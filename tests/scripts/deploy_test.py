#!/usr/bin/env python3
"""The files of deploy/ and docs/clusters.md: fields that Kubeflow's MPIJob v2beta1 and Azure ML's command job require or know, counts of
ranks that agree, and options that trainer train has.  TRAINER names the
program; status 77 without PyYAML.

The fields were taken from the operator's custom resource definition; the pods also pass kubernetes-validate --strict, and remote_test loads the
job with azure-ai-ml where that is installed.
"""
import os
import pathlib
import re
import subprocess
import sys
import unittest

try:
    import yaml
except ImportError:
    sys.exit(77)

SOURCES = pathlib.Path(__file__).resolve().parents[2]
JOB = {"slotsPerWorker", "launcherCreationPolicy", "runPolicy", "mpiReplicaSpecs", "mpiImplementation", "sshAuthMountPath"}
POLICY = {"cleanPodPolicy", "backoffLimit", "ttlSecondsAfterFinished", "activeDeadlineSeconds", "schedulingPolicy", "suspend"}
# Of other programs, of other commands and of benchmarks/, in the text.
FOREIGN = {"azureml", "bind-to", "explain", "file", "gpus-per-node", "hostfile", "image", "kills", "kinds", "mca", "mpi", "nodes", "ntasks-per-node", "read-only",
           "requeue", "resource-group", "rm", "shm-size", "signal", "tag", "test", "tmpfs", "user", "variant",
           "workspace-name"}


def text(name):
    return (SOURCES / name).read_text(encoding="utf-8")


def options(words):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", words))


class Deploy(unittest.TestCase):
    def setUp(self):
        told = subprocess.run([os.environ["TRAINER"], "train", "--help"], capture_output=True, text=True, check=True).stdout
        self.known = options(told)

    def test_mpijob(self):
        job = yaml.safe_load(text("deploy/mpijob.yaml"))
        self.assertEqual((job["apiVersion"], job["kind"]), ("kubeflow.org/v2beta1", "MPIJob"))
        spec = job["spec"]
        self.assertLessEqual(set(spec), JOB)
        self.assertLessEqual(set(spec["runPolicy"]), POLICY)
        self.assertEqual(set(spec["mpiReplicaSpecs"]), {"Launcher", "Worker"})
        for replica in spec["mpiReplicaSpecs"].values():
            self.assertLessEqual(set(replica), {"replicas", "restartPolicy", "template"})
            pod = replica["template"]["spec"]
            volumes = {volume["name"] for volume in pod.get("volumes", [])}
            for container in pod["containers"]:
                self.assertLessEqual({"name", "image", "command"}, set(container))
                self.assertEqual({mount["name"] for mount in container.get("volumeMounts", [])}, volumes)

    def test_mpijob_starts_as_many_ranks_as_it_has_slots(self):
        spec = yaml.safe_load(text("deploy/mpijob.yaml"))["spec"]
        launcher = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]
        words = launcher["args"]
        self.assertTrue(all(isinstance(word, str) for word in words))
        self.assertEqual(int(words[words.index("-n") + 1]), spec["slotsPerWorker"] * spec["mpiReplicaSpecs"]["Worker"]["replicas"])
        self.assertLessEqual(options(" ".join(words[words.index("train"):])), self.known)

    def test_azure(self):
        job = yaml.safe_load(text("deploy/azureml.yaml"))
        self.assertEqual(job["type"], "command")
        self.assertEqual(set(job["distribution"]), {"type", "process_count_per_instance"})
        self.assertEqual(job["distribution"]["type"], "mpi")
        self.assertLessEqual({"command", "environment", "compute", "resources"}, set(job))
        for name in re.findall(r"\$\{\{outputs\.(\w+)\}\}", job["command"]):
            self.assertIn(name, job["outputs"])
        self.assertLessEqual(options(job["command"]), self.known)

    def test_slurm(self):
        for name in ("cpu", "gpu"):
            script = text(f"deploy/slurm/{name}.sbatch")
            line = re.search(r'^srun .* "\$trainer" train (.*)$', script, re.MULTILINE).group(1)
            self.assertLessEqual(options(line), self.known)
            self.assertIn("resume-if-there", options(line))

    def test_documentation_names_options_that_there_are(self):
        self.assertEqual(options(text("docs/clusters.md")) - self.known - FOREIGN, set())


if __name__ == "__main__":
    unittest.main()

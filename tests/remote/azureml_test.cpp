// A target's run as a job of Azure Machine Learning: its fields and its command line, and that Azure's own loader takes it, with
// no account and no network. That loader is azure-ai-ml's, in the Python that TRAINER_PYTHON names.
#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

class AzureMl : public ProgramTest {
 protected:
  void write_target(const std::string& gpus, const std::string& arguments) const {
    folder_.write(
        "targets/vm.compute",
        "type: remotedocker\naddress: vm.example.com\nbaseDockerImage: me.azurecr.io/trainer:1\ngpus: " +
            gpus + "\n");
    folder_.write("targets/vm.runconfig", "Target: vm\nArgumentVector: " + arguments + "\n");
  }

  Outcome exported(const std::string& gpus, const std::string& arguments) const {
    write_target(gpus, arguments);
    return trainer({"target", "export", "vm", "--azureml"});
  }

  // The value of a field, which is JSON.
  static Json field(const std::string& text, const std::string& name) {
    const std::size_t begin = text.find("\n" + name + ": ");
    if (begin == std::string::npos) return {};
    const std::size_t value = begin + name.size() + 3;
    return Json::parse(text.substr(value, text.find('\n', value) - value), nullptr, false);
  }
};

TEST_F(AzureMl, ATrainingKeepsItsArgumentsAndWritesItsRunToAnOutput) {
  const Outcome job = exported("all", "[train, --model, lenet, --seed, 7]");
  ASSERT_EQ(job.code, 0) << job.err;
  EXPECT_EQ(field(job.out, "command"),
            "/opt/mnist-trainer/bin/trainer train --model lenet --seed 7 --out ${{outputs.runs}}/vm "
            "--resume-if-there");
  EXPECT_EQ(field(job.out, "environment"), (Json{{"image", "me.azurecr.io/trainer:1"}}));
  EXPECT_EQ(field(job.out, "environment_variables"), Json::object()) << "a job has every GPU of its machine";
  EXPECT_TRUE(field(job.out, "distribution").is_null());
  EXPECT_TRUE(field(job.out, "inputs").is_null());
  EXPECT_PRED2(contains, job.out, "\ncompute: azureml:CLUSTER\n");
}

TEST_F(AzureMl, RanksAreStartedByAzure) {
  for (const char* words :
       {"[train, --ranks, \"4\", --model, lenet]", "[train, --model, lenet, --ranks=4]"}) {
    const Outcome job = exported("all", words);
    ASSERT_EQ(job.code, 0) << job.err;
    EXPECT_EQ(field(job.out, "distribution"), (Json{{"type", "mpi"}, {"process_count_per_instance", 4}}));
    EXPECT_PRED2(contains, field(job.out, "command").get<std::string>(),
                 "trainer train --model lenet --out ");
  }
}

TEST_F(AzureMl, FilesOfThisMachineAreInputs) {
  const Outcome job = exported("all", "[train, --model=small.yaml, --data, data]");
  ASSERT_EQ(job.code, 0) << job.err;
  EXPECT_EQ(field(job.out, "inputs"), (Json{{"model", {{"type", "uri_file"}, {"path", at("small.yaml")}}},
                                            {"data", {{"type", "uri_folder"}, {"path", at("data")}}}}));
  EXPECT_PRED2(contains, job.out,
               "trainer train --model ${{inputs.model}} --data ${{inputs.data}} --out ${{outputs.runs}}/vm ");
}

TEST_F(AzureMl, FewerGpusAreAVariableAndNoneHidesAll) {
  EXPECT_EQ(field(exported("\"0,1\"", "[train]").out, "environment_variables"),
            (Json{{"CUDA_VISIBLE_DEVICES", "0,1"}}));
  EXPECT_EQ(field(exported("none", "[train]").out, "environment_variables"),
            (Json{{"CUDA_VISIBLE_DEVICES", "-1"}}));
}

TEST_F(AzureMl, WordsReachTheShellQuoted) {
  const Outcome job = exported("all", "[sprint, --note, \"it's $(id)\"]");
  ASSERT_EQ(job.code, 0) << job.err;
  EXPECT_EQ(field(job.out, "command"), "/opt/mnist-trainer/bin/trainer sprint --note 'it'\\''s $(id)'");
  EXPECT_TRUE(field(job.out, "outputs").is_null());
}

TEST_F(AzureMl, WhatCannotBeAJobIsRefused) {
  Outcome refused = trainer({"target", "export", "local", "--azureml"});
  expect_one_line(refused, 2);
  EXPECT_PRED2(contains, refused.err, "local has no image for Azure ML");
  for (const char* ranks : {"x", "0", "-2", "1e3"}) {
    refused = exported("all", std::string("[train, --ranks, \"") + ranks + "\"]");
    expect_one_line(refused, 2);
    EXPECT_PRED2(contains, refused.err, "a number from 1 on");
  }
  refused = exported("all", "[train, --out, here]");
  expect_one_line(refused, 2);
  expect_one_line(trainer({"target", "export", "vm"}), 2);
  expect_one_line(trainer({"target", "export", "nobody", "--azureml"}), 2);
}

constexpr const char* kLoads = R"(
import sys
from azure.ai.ml import load_job
job = load_job(sys.argv[1])
assert job.type == 'command' and job._validate().passed
assert job.environment.image == 'me.azurecr.io/trainer:1', job.environment
assert job.compute == 'CLUSTER' and job.resources['instance_count'] == 1
assert (job.distribution.process_count_per_instance if job.distribution else 1) == int(sys.argv[2])
assert set(job.inputs) == set(sys.argv[3:]) and set(job.outputs) == {'runs'}
try:
    load_job(sys.argv[1], params_override=[{'distribution': {'type': 'none'}}])
except Exception:
    print('and refuses a wrong one')
)";

TEST_F(AzureMl, AzuresOwnLoaderTakesTheJob) {
  const std::string python = this->python("azure.ai.ml");
  if (python.empty()) GTEST_SKIP() << "no Python with azure-ai-ml (TRAINER_PYTHON): its loader reads no job";
  folder_.write("load.py", kLoads);
  const auto loads = [&](const std::string& arguments, const std::string& expected) {
    write_target("\"0\"", arguments);
    const Outcome written = trainer({"target", "export", "vm", "--azureml", "-o", "job.yaml"});
    EXPECT_EQ(written.out, "job.yaml\n") << written.err;
    const Outcome loaded = shell(python + "load.py job.yaml " + expected);
    EXPECT_EQ(loaded.code, 0) << loaded.err << read_text(folder_ / "job.yaml");
    EXPECT_PRED2(contains, loaded.out, "and refuses a wrong one");
  };
  const Outcome example =
      shell(python + "-c 'from azure.ai.ml import load_job; load_job(\"" TRAINER_SOURCE_DIR
                     "/deploy/azureml.yaml\")'");
  EXPECT_EQ(example.code, 0) << example.err;
  loads("[train, --model, lenet]", "1");
  loads("[train, --ranks, \"4\", --model, small.yaml, --data, data]", "4 model data");
}

}  // namespace
}  // namespace trainer::test

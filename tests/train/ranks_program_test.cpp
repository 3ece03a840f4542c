// The real program on several ranks, started by the launchers of both MPIs: it does what one process does.
#include <csignal>

#include "tests/support/program.hpp"

namespace trainer::test {
namespace {

// A launcher as the shell calls it; "$L 3 ..." starts three ranks.
struct Launcher {
  const char* name;
  const char* program;
  const char* plugin;
  const char* words;
};
constexpr Launcher kLaunchers[] = {
    {"OpenMpi", "mpirun.openmpi", "libmnist-trainer-openmpi.so",
     "mpirun.openmpi --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n"},
    {"Mpich", "mpiexec.mpich", "libmnist-trainer-mpich.so", "mpiexec.mpich -n"},
};

class RanksOfProgram : public ProgramTest, public testing::WithParamInterface<Launcher> {
 protected:
  void SetUp() override {
    if (shell(std::string("command -v ") + GetParam().program).code != 0 ||
        !fs::exists(fs::path(TRAINER_BINARY).parent_path() / GetParam().plugin))
      GTEST_SKIP() << GetParam().program << " or " << GetParam().plugin << " is not here";
  }
  // A line of the shell with "$L" the launcher and "$S" a small training with portable bits on a CPU.
  Outcome line(const std::string& text) const {
    return shell(text, {std::string("L=") + GetParam().words,
                        "S=train --model small.yaml --data data --threads 1 --device cpu --epochs 3"});
  }
  static std::string word_after(const std::string& text, const std::string& name) {
    const std::size_t at = text.find("\n" + name);
    if (at == std::string::npos) return "no " + name;
    const std::size_t begin = text.find_first_not_of(' ', at + 1 + name.size());
    return text.substr(begin, text.find('\n', begin) - begin);
  }
};

TEST_P(RanksOfProgram, PortableBitsAreThoseOfOneProcess) {
  const std::string alone = word_after(line("$T $S --bits portable --out alone").out, "digest");
  ASSERT_EQ(alone.size(), 64U) << alone;
  for (const std::string count : {"2", "4"}) {
    const Outcome ranks = line("$L " + count + " $T $S --bits portable --out of" + count);
    EXPECT_EQ(ranks.code, 0) << ranks.err;
    EXPECT_EQ(word_after(ranks.out, "digest"), alone);
    EXPECT_TRUE(contains(ranks.out, "\nranks         " + count + " on 1 machine")) << ranks.out;
    const RunRecord record = this->record("of" + count);
    EXPECT_EQ(record.results["ranks"]["count"].dump(), count);
    const std::vector<Json> epochs = metrics("of" + count);
    ASSERT_EQ(epochs.size(), 3U);
    for (std::size_t e = 0; e < epochs.size(); ++e) {
      EXPECT_EQ(epochs[e]["images"], metrics("alone")[e]["images"]);
      EXPECT_EQ(epochs[e]["test_accuracy"], metrics("alone")[e]["test_accuracy"]);
    }
    expect_same_tensors(folder_ / ("of" + count) / "model.safetensors", folder_ / "alone/model.safetensors");
  }
  const Outcome list =
      shell("$T runs list --where 'ranks > 1' --json", {"TRAINER_RUNS=" + folder_.path().string()});
  EXPECT_EQ(Json::parse(list.out).size(), 2U) << list.out;
}

TEST_P(RanksOfProgram, TestsAndSprintsAreSharedOut) {
  ASSERT_EQ(line("$T $S --out run").code, 0);
  const Outcome alone = line("$T eval run --json --device cpu --threads 1");
  const Outcome ranks = line("$L 3 $T eval run --json --device cpu --threads 1");
  EXPECT_EQ(ranks.code, 0) << ranks.err;
  EXPECT_EQ(ranks.out, alone.out);
  const std::string sprint =
      "$T sprint --model small.yaml --data data --seeds 5 --no-process --no-save --json --device cpu "
      "--threads 1";
  const auto seeds = [](const Outcome& outcome) {
    std::vector<std::string> found;
    for (const Json& value : json_lines(outcome.out))
      if (value.at("event") == "seed")
        found.push_back(value.at("seed").dump() + " " + value.at("test_accuracy").dump());
    return found;
  };
  const std::vector<std::string> all = seeds(line(sprint));
  EXPECT_EQ(all.size(), 5U);
  EXPECT_EQ(seeds(line("$L 2 " + sprint)), all);
}

TEST_P(RanksOfProgram, WhatDoesNotFitIsRefusedOnce) {
  const auto refused = [&](const std::string& text, const std::string& why) {
    const Outcome outcome = line(text);
    const bool is_killed = GetParam().name == std::string("Mpich") && outcome.code == SIGKILL;
    EXPECT_TRUE(outcome.code == 2 || is_killed) << text << "\n" << outcome.code << outcome.err;
    EXPECT_TRUE(contains(outcome.err, why)) << outcome.err;
    EXPECT_EQ(outcome.err.find("error: "), outcome.err.rfind("error: ")) << outcome.err;
  };
  refused("$L 4 $T $S --batch 3 --no-save", "4 ranks for batches of 3 images");
  refused("$L 3 $T $S --bits portable --no-save", "start 1, 2, 4 or 8");
  refused("$L 2 $T $S --bits portable --gradient-bits 1 --no-save", "--gradient-bits 1");
  refused("$L 2 $T $S --epochs none", "--epochs");
  refused("$L 1 $T $S --no-save : -n 1 $T $S --no-save --seed 7", "rank 1");
  refused("$L 1 $T $S --no-save : -n 1 $T $S --no-save --limit-train 100", "rank 1");
}

TEST_P(RanksOfProgram, ASignalSavesAndAnotherNumberOfRanksGoesOn) {
  const std::string alone = word_after(line("$T $S --epochs 40 --bits portable --out alone").out, "digest");
  // Only one rank gets the signal: all stop after the same step.
  const Outcome stopped = line(
      "$L 4 $T $S --epochs 40 --bits portable --out run & until [ $(wc -l < run/metrics.jsonl 2> none || "
      "echo 0) -ge 2 ]; do sleep 0.02; done; "
      "kill -TERM $(pgrep -f -- '--out run$' | tail -1); wait $!");
  EXPECT_EQ(stopped.code, 143) << stopped.err;
  EXPECT_EQ(record("run").status, RunStatus::kStopped);
  EXPECT_LT(metrics("run").size(), 40U);
  const Outcome resumed = line("$L 2 $T train --resume run --threads 1 --device cpu");
  EXPECT_EQ(word_after(resumed.out, "digest"), alone) << resumed.out << resumed.err;
  EXPECT_EQ(metrics("run").size(), 40U);
}

TEST_P(RanksOfProgram, AKilledRankEndsAllOfThemAndTheRunGoesOn) {
  const std::string alone = word_after(line("$T $S --epochs 40 --bits portable --out alone").out, "digest");
  const Outcome killed = line(
      "$L 4 $T $S --epochs 40 --rank-timeout 2 --bits portable --out run & until [ $(wc -l < "
      "run/metrics.jsonl 2> /dev/null || echo 0) -ge 2 ]; do sleep 0.02; "
      "done; kill -KILL $(pgrep -f -- '--out run$' | tail -1); wait $!");
  EXPECT_NE(killed.code, 0);
  // MPICH's mpiexec kills the others before they can say which rank was lost.
  if (GetParam().name == std::string("OpenMpi")) {
    EXPECT_TRUE(contains(killed.err, "error: rank ")) << killed.err;
    EXPECT_TRUE(contains(killed.err, "has ended before")) << killed.err;
  }
  const Outcome resumed = line("$T train --resume run --threads 1 --device cpu");
  EXPECT_EQ(word_after(resumed.out, "digest"), alone) << resumed.out << resumed.err;
}

TEST_P(RanksOfProgram, ARequeuedJobBeginsAnewWhereNothingWasSaved) {
  ASSERT_EQ(line("$T $S --out whole").code, 0);
  for (const std::string run : {"1", "2", "3"}) {
    const Outcome begun = line("mkdir " + run + " && cp whole/run.json " + run +
                               " && $L 4 $T $S --resume-if-there --out " + run);
    EXPECT_EQ(begun.code, 0) << begun.err;
    EXPECT_EQ(metrics(run).size(), 3U);
  }
}

TEST_P(RanksOfProgram, FewBitsGoOnWithWhatTheyHaveLeftOut) {
  const std::string words = "$S --epochs 4 --gradient-bits 1 --warm-start-images 64 --out ";
  ASSERT_EQ(line("$L 2 $T " + words + "whole").code, 0);
  ASSERT_EQ(line("$L 2 $T " + words + "parts --max-steps 20").code, 0);
  ASSERT_EQ(line("$L 2 $T train --resume parts --threads 1 --device cpu").code, 0);
  expect_same_tensors(folder_ / "parts/checkpoint.safetensors", folder_ / "whole/checkpoint.safetensors");
  EXPECT_EQ(line("$T train --from parts --epochs 1 --no-save --data data").code, 0);
  EXPECT_EQ(line("$L 3 $T train --resume parts --epochs 5 --threads 1 --device cpu").code, 0);
}

INSTANTIATE_TEST_SUITE_P(, RanksOfProgram, testing::ValuesIn(kLaunchers),
                         [](const auto& info) { return info.param.name; });

class StartedRanks : public ProgramTest {};

TEST_F(StartedRanks, ATrainingStartsItsOwn) {
  const auto is_here = [&](const Launcher& launcher) {
    return shell(std::string("command -v ") + launcher.program).code == 0 &&
           fs::exists(fs::path(TRAINER_BINARY).parent_path() / launcher.plugin);
  };
  if (std::ranges::none_of(kLaunchers, is_here)) GTEST_SKIP() << "no MPI is here";
  Words words = small_training({"--epochs", "2", "--ranks", "2", "--device", "cpu", "--out", "run"});
  const Outcome outcome = trainer(words);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(record("run").results["ranks"]["count"], 2);
  EXPECT_EQ(outcome.out.find('\r'), std::string::npos) << "a progress bar in a pipe";
}

TEST_F(StartedRanks, PortableBitsTakeGradientsOf32BitsAlone) {
  for (const std::string bits : {"32", "16", "1"}) {
    const Outcome outcome = trainer(
        small_training({"--bits", "portable", "--gradient-bits", bits, "--max-steps", "1", "--no-save"}));
    EXPECT_EQ(outcome.code, bits == "32" ? 0 : 2) << outcome.err;
  }
}

TEST_F(StartedRanks, ARequeuedJobGoesOnByItself) {
  const Words words =
      small_training({"--epochs", "3", "--device", "cpu", "--out", "run", "--resume-if-there"});
  Words part = words;
  part.insert(part.end(), {"--max-steps", "9"});
  EXPECT_EQ(trainer(part).code, 0);
  EXPECT_EQ(record("run").status, RunStatus::kStopped);
  EXPECT_EQ(trainer(words).code, 0);
  EXPECT_EQ(record("run").status, RunStatus::kFinished);
  EXPECT_EQ(trainer(words).code, 0);  // nothing is left
  EXPECT_EQ(metrics("run").size(), 3U);
}

}  // namespace
}  // namespace trainer::test

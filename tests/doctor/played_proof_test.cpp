// Proofs whose trainings are played by a shell script in the place of the program, and one with real ones.
#include <cmath>
#include <csignal>
#include <fmt/format.h>

#include "tests/support/program.hpp"
#include "tests/support/words.hpp"
#include "trainer/doctor/proof.hpp"

namespace trainer::test {
namespace {

using doctor::Proof;
using doctor::ProofOptions;
using doctor::run_proof;
using doctor::Verdict;

class PlayedProof : public ProgramTest {
 protected:
  // A shell script in the place of the program.
  fs::path script(const std::string& lines) const {
    const fs::path path = folder_.write("played", "#!/bin/sh\n" + lines);
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }

  int run(const std::string& lines, const ProofOptions& more = {}) {
    ProofOptions options = more;
    options.json = true;
    options.program = script(lines);
    return run_proof(options, nvml_, &proof_);
  }

  Nvml nvml_{"libnvidia-ml-not-here.so"};
  Proof proof_{.network = "sprint-lean", .digest = "good"};
};

TEST_F(PlayedProof, ATrainingThatDiesFailsOrLeavesNothingIsARow) {
  for (const char* device : {"cuda:0", "cuda:1", "cuda:2"})
    proof_.rows.push_back({.device = device, .name = "a"});
  EXPECT_EQ(run("case $3 in cuda:0) kill -SEGV $$;; cuda:1) echo 'error: no GPU' >&2; exit 1;; esac\n",
                {.speed = true}),
            0);
  ASSERT_EQ(proof_.rows[0].runs.size(), 3U) << "three rounds";
  EXPECT_EQ(proof_.rows[0].runs[0].error, "it died of signal 11");
  EXPECT_EQ(proof_.rows[1].runs.at(1).error, "error: no GPU");
  EXPECT_EQ(proof_.rows[2].runs.at(0).error, "it printed no result");
  EXPECT_TRUE(proof_.rows[0].speed.is_null());
  EXPECT_FALSE(proof_.rows[0].speed_error.empty());
  EXPECT_EQ(class_of(judge(proof_)), FailureClass::failed);
}

TEST_F(PlayedProof, ALossThatIsNotFiniteIsAWrongResultAndNoFailure) {
  proof_.rows = {{.device = "cuda:0", .name = "a"}, {.device = "cpu", .name = "b", .gpu = false}};
  run("steps='{\"step\": 1, \"digest\": \"a\"}'; digest=', \"digest\": \"good\"'; code=0\n"
      "case $3 in cuda:0) digest=; code=1;; *) steps=\"$steps, {\\\"step\\\": 2, \\\"digest\\\": "
      "\\\"b\\\"}\";; esac\n"
      "echo '{\"event\": \"end\", \"seconds\": 1, \"stopped_by\": \"loss not finite\", \"digests_by_step\": "
      "['\"$steps]$digest}\"\n"
      "exit $code\n",
      {.minutes = 0});
  EXPECT_EQ(proof_.rows[0].runs.at(0).digest, "none: loss not finite");
  EXPECT_EQ(verdict_of(proof_.rows[1], proof_), Verdict::proven);
  const std::vector<Check> findings = judge(proof_);
  EXPECT_EQ(exit_status(class_of(findings)), 19);
  expect_words(findings.at(0).finding,
               {"beside cpu it differs from step 2 on in 3 of 3 trainings, 3 of them alike",
                "its values then are not known: "});
}

TEST_F(PlayedProof, ATrainingThatHangsIsEnded) {
  proof_.rows = {{.device = "cuda:0", .name = "a"}};
  run("exec sleep 600\n", {.minutes = 0, .patience_seconds = 0.1});
  ASSERT_EQ(proof_.rows[0].runs.size(), 1U);
  EXPECT_EQ(proof_.rows[0].runs[0].error, "it died of signal 9");
}

TEST_F(PlayedProof, ASignalEndsTheTestAtOnce) {
  proof_.rows = {{.device = "cuda:0", .name = "a"}};
  EXPECT_EQ(run("kill -INT $PPID\nexec sleep 600\n"), SIGINT);
  EXPECT_TRUE(proof_.rows[0].runs.empty());
}

// A device that is wrong from the second step on, as `when` says, beside a processor that is right.
class WrongDevice : public PlayedProof {
 protected:
  WrongDevice() {
    proof_.rows = {{.device = "cuda:0", .name = "a"}, {.device = "cpu", .name = "b", .gpu = false}};
    write("right", "good", "b", {1, 2, 3, 4}, {5, 6});
    write("wrong", "bad", "c", {1, 2, std::nextafter(3.0F, 4.0F), 9}, {5, -6});
  }

  // What one way ends with: its output, and its checkpoint after step 2.
  void write(const std::string& way, const std::string& digest, const std::string& second,
             const std::vector<float>& weights, const std::vector<float>& momentum) const {
    const Json end{{"event", "end"},
                   {"seconds", 0.5},
                   {"digest", digest},
                   {"digests_by_step",
                    {{{"step", 1}, {"digest", "a"}},
                     {{"step", 2}, {"digest", second}},
                     {{"step", 3}, {"digest", way}}}}};
    folder_.write(way + ".json", end.dump() + "\n");
    const std::vector<Tensor> tensors{{"norm1.bias", {1}, std::as_bytes(std::span(momentum).first(1))},
                                      {"conv1.weight", {2, 2}, std::as_bytes(std::span(weights))},
                                      {"conv1.weight.muon_m", {2}, std::as_bytes(std::span(momentum))}};
    write_safetensors(folder_ / (way + "-2.safetensors"), tensors, {});
  }

  void run_when(const std::string& when) {
    run(fmt::format(
        "cd '{}'; echo >>count-$3; count=$(wc -l <count-$3)\n"
        "way=right; case $3 in cuda:0) if {}; then way=wrong; fi;; esac\n"
        "for word; do case $last in --out) out=$word;; --max-steps) step=$word;; esac; last=$word; done\n"
        "if [ \"$out\" ]; then mkdir $out && cp $way-$step.safetensors $out/checkpoint.safetensors; fi\n"
        "cat $way.json\n",
        folder_.path().string(), when));
  }
};

TEST_F(WrongDevice, IsComparedStepByStepToTheElement) {
  run_when("true");
  const std::vector<Check> findings = judge(proof_);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(exit_status(class_of(findings)), 19);
  expect_words(
      findings[0].finding,
      {"3 of 3 trainings ended with another digest",
       "beside cpu it differs from step 2 on in 3 of 3 trainings, 3 of them alike",
       "then 3 elements differ, the first is element 2 of conv1.weight (op conv1): 0x40400001 instead of "
       "0x40400000"});
  expect_words(findings[0].cause, {"the same way each time"});
  const Json comparison = proof_json(proof_, findings)["devices"][0]["comparison"];
  EXPECT_EQ(comparison["tensors"][0]["differ"], 2);
  EXPECT_EQ(comparison["tensors"][0]["first"][1]["is"], "0x41100000");
  EXPECT_EQ(comparison["tensors"][1]["tensor"], "conv1.weight.muon_m");
  EXPECT_EQ(verdict_of(proof_.rows[1], proof_), Verdict::proven);
}

TEST_F(WrongDevice, ThatIsRightAgainIsSaidToBeWrongNowAndThen) {
  run_when("[ $count = 2 ]");
  Check finding = judge(proof_).at(0);
  expect_words(finding.finding,
               {"1 of 3 trainings", "3 more trainings of it, compared step by step with cpu, do not differ"});
  expect_words(finding.cause, {"now and then"});
}

TEST_F(WrongDevice, WhoseStateIsRightWhenTrainedAgainHasNoElement) {
  run_when("[ $count = 2 -o $count = 5 ]");
  expect_words(judge(proof_).at(0).finding,
               {"1 of 3 trainings, 1 of them alike", "trained again up to there it does not differ"});
}

TEST_F(WrongDevice, IsNotBlamedAloneWhereTheProcessorMissesTheDigestToo) {
  proof_.digest = "another";
  run_when("false");
  const std::vector<Check> findings = judge(proof_);
  ASSERT_EQ(findings.size(), 2U);
  for (const Check& finding : findings)
    expect_words(finding.cause, {"the program, its network or its data may be damaged"});
}

TEST_F(WrongDevice, LeavesAFileForItsMaker) {
  Environment environment;
  environment.executable = script("cat '" + at("wrong.json") + "'\n");
  environment.runs.working_folder = folder_.path();
  const doctor::ProofOutcome outcome = doctor::prove(environment, {.device = "cpu", .minutes = 0});
  EXPECT_EQ(outcome.status, 19);
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(folder_ / "runs")) files.push_back(file.path());
  ASSERT_EQ(files.size(), 1U) << outcome.text;
  EXPECT_PRED2(contains, outcome.text, "evidence: " + files[0].string());
  const Json evidence = Json::parse(read_text(files[0]));
  EXPECT_EQ(evidence["runs"][0]["digest"], "bad");
  EXPECT_EQ(evidence["network"], "sprint-lean");
  EXPECT_FALSE(evidence["comparison"].is_null());
}

TEST_F(PlayedProof, RealTrainingsMeetTheirOwnDigestAndNoOther) {
  const auto prove_small = [&](const std::string& digest) {
    Proof proof{.network = at("small.yaml"), .digest = digest};
    proof.rows = {{.device = "cpu", .name = "a", .gpu = false}};
    run_proof({.minutes = 0, .json = true, .program = TRAINER_BINARY, .data = at("data")}, nvml_, &proof);
    return proof;
  };
  const Proof wrong = prove_small("none");
  EXPECT_EQ(verdict_of(wrong.rows[0], wrong), Verdict::wrong);
  const doctor::StepComparison comparison = wrong.rows[0].comparison.value();
  EXPECT_EQ(comparison.error, "");
  EXPECT_EQ(comparison.trainings, 3);
  EXPECT_EQ(comparison.step, 0U) << "a processor beside itself";
  EXPECT_FALSE(comparison.beside_proven);
  const Proof right = prove_small(wrong.rows[0].runs.at(0).digest);
  EXPECT_EQ(verdict_of(right.rows[0], right), Verdict::proven);
  EXPECT_FALSE(right.rows[0].comparison);
}

}  // namespace
}  // namespace trainer::test

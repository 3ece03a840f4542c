// trainer doctor --prove: every device trains the same network from the same seed with portable bits, all at once, again and again,
// in ordinary runs of this very program, so that a crash or a hang is a finding. Each must end with the digest that stands in this
// program (kernels/portable/known_digests.hpp), so that a lone device is proven too. One that does not is trained again beside
// another, step by step. --all is the same on every GPU, with the measured speed of each; one that is slower than its equals is
// held back by something. The judgement is a pure function of the rows, so that tests can make them up.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/gpu_host/nvml.hpp"
#include "trainer/console/check.hpp"
#include "trainer/store/environment.hpp"
#include "trainer/store/safetensors.hpp"

namespace trainer::doctor {

// One training of one device.
struct ProofRun {
  std::string error = {};   // a complete line; empty: it trained to its end
  double seconds = 0;       // in training
  std::string digest = {};  // what its weights hash to (trainer/train/digest.hpp)
};

// What a GPU says at one moment.
struct Reading {
  GpuSensors sensors = {};
  std::optional<int> xids = {};  // faults in the kernel's log; nothing: the log may not be read
};

// Where a training that missed its digest left the way of the same training on another device: the evidence for the device's maker.
struct StepComparison {
  std::string beside;          // the other device
  bool beside_proven = false;  // which met the known digest
  std::string error = {};      // why the two could not be compared
  int trainings = 0;           // how often the device trained with a digest of each step
  int differing = 0;           // how many of them left the other's way
  int same = 0;            // how many of these as the first of them: at the same step, with the same digest
  std::uint64_t step = 0;  // after which the first of them differed; 0: none did
  nlohmann::ordered_json tensors = {};  // of differing_tensors() then, when it was trained up to there again
};

struct DeviceRow {
  std::string device;  // as --device takes it
  std::string name;    // rows with the same name are compared in speed
  bool gpu = true;
  std::string bus_id = {};  // on the PCI bus; empty if it is not a GPU
  std::string uuid = {};
  std::vector<ProofRun> runs = {};         // one per round
  Reading before = {};                     // the first training
  Reading after = {};                      // the last
  nlohmann::ordered_json speed = nullptr;  // as in trainer doctor --json, with the other devices idle
  std::string speed_text = {};             // and in words
  std::string speed_error = {};
  std::optional<StepComparison> comparison = {};  // after a wrong digest
  std::string evidence = {};                      // the file about it
};

struct Proof {
  std::string network;
  std::uint64_t seed = 1;
  std::string digest;  // that every training must end with
  std::vector<DeviceRow> rows = {};
  std::vector<Check> not_run = {};  // what was left out, and why
};

enum class Verdict { proven, wrong, failed };
Verdict verdict_of(const DeviceRow& row, const Proof& proof);

// A problem for each thing that is not as it should be, wrong results first.
std::vector<Check> judge(const Proof& proof);

// A check for each device, then the findings, what was not run, and the verdict; and the same as JSON.
std::string proof_text(const Proof& proof, const std::vector<Check>& findings);
nlohmann::ordered_json proof_json(const Proof& proof, const std::vector<Check>& findings);
nlohmann::ordered_json row_json(const DeviceRow& row, const Proof& proof);
// The text for the textfile collector of Prometheus's node_exporter; `now` in seconds since 1970.
std::string proof_metrics(const Proof& proof, std::uint64_t now);

// How much slower than the fastest of the same name it was measured, 0.1 for 10 %; 0 if it is the fastest or the only one.
double slowdown(const DeviceRow& row, const std::vector<DeviceRow>& rows);

// The first step at which the digests of two runs ("digests_by_step" of run.json) differ, or that only one of them reached.
std::optional<std::uint64_t> first_difference(const nlohmann::ordered_json& is,
                                              const nlohmann::ordered_json& should);

// The tensors of two checkpoints of one network that differ, in the network's order: the values, then the optimiser's. Each with its
// op, how many elements it has and how many of them differ, and the first 16 of these: index, bits of what is and what should be.
nlohmann::ordered_json differing_tensors(const SafetensorsFile& is, const SafetensorsFile& should);

std::string comparison_text(const StepComparison& comparison);  // in one line
nlohmann::ordered_json comparison_json(const StepComparison& comparison);

// How many faults of a GPU the kernel logged ("NVRM: Xid (PCI:0000:c1:00): 79, ..."). The log leaves out the function that
// `bus_id` ends with: "0000:c1:00.0".
int count_xids(const std::string& kernel_log, const std::string& bus_id);

struct ProofOptions {
  std::string device =
      "auto";          // or all, which is the same: every GPU and the processor; or cpu, cuda, cuda:N
  bool speed = false;  // --all: every GPU, and the speed of each
  bool require_gpu = false;
  std::optional<double> minutes = {};  // new rounds begin until then; nothing: three rounds
  bool json = false;
  std::filesystem::path program = {};  // this program
  std::string data = {};               // the shipped MNIST
  double patience_seconds = 600;       // for a round's first training to end
};

struct ProofOutcome {
  std::string text;     // for standard output; each line ends in a newline
  int status = 0;       // the class of the first finding, 128 + signal, or why there is no GPU
  std::string metrics;  // of proof_metrics; empty if nothing was run
};

// Progress goes to standard error. Writes a file of evidence into the results folder for each device with a wrong digest.
// Throws UsageError.
ProofOutcome prove(const Environment& environment, const ProofOptions& options);

// Fills in the rows: their speed, each device by itself, then round after round on all of them, then comparisons. Returns 0, or
// at once the signal that asked for a stop.
int run_proof(const ProofOptions& options, const Nvml& nvml, Proof* proof);

}  // namespace trainer::doctor

// What is looked at on every machine, the program, where it runs, its data and its results, and how the table is read.
#include <algorithm>
#include <fmt/format.h>

#include "kernels/gpu_host/gpu_architectures.hpp"
#include "trainer/doctor/checks.hpp"
#include "trainer/system/text.hpp"

namespace trainer::doctor {

namespace {

constexpr std::uint64_t kLeastMemory = 512ULL << 20U;  // of a small network with the shipped data set
constexpr std::uint64_t kLeastDisk = 64ULL << 20U;     // of a run or two

std::string cores_text(const CpuInfo& cpu) {
  return fmt::format("{} {}", cpu.cores, cpu.cores == 1 ? "core" : "cores");
}

std::string memory_text(F f) {
  return fmt::format("{:.1f} of {:.1f} GiB available", gib(f.cpu.available_bytes), gib(f.cpu.memory_bytes));
}

std::string runs_text(F f) {
  return fmt::format("{} can be written, {:.1f} GiB free", f.files.runs_path, gib(f.files.runs_free_bytes));
}

const CheckRow kProgramRows[] = {
    {"program", kOk, [](F f) { return !f.gpu.engine; },
     [](F f) { return f.program + ", without the GPU engine"; }},
    {"program", kOk, always,
     [](F f) {
       return fmt::format("{}, with the GPU engine: code for {}", f.program,
                          architectures_text(parse_architectures(f.gpu.architectures)));
     }},
    {"container", kOk, [](F f) { return !f.gpu.around.inside_container; },
     [](F) { return std::string("not inside one"); }},
    {"container", kOk, [](F f) { return !f.gpu.around.device_files.empty(); },
     [](F) { return std::string("inside one, which was given a GPU"); }},
    {"container", kNote, always, [](F) { return std::string("inside one, which was given no GPU"); }},
};

const CheckRow kMachineRows[] = {
    {"CPU", kOk, always,
     [](F f) {
       return fmt::format("{}, {} usable, {} (oneDNN {}), {}", f.cpu.model, cores_text(f.cpu),
                          f.cpu.instruction_set, f.cpu.onednn_version, f.cpu_bf16 ? "fp32 and bf16" : "fp32");
     }},
    {"memory", kProblem,
     [](F f) { return f.cpu.available_bytes > 0 && f.cpu.available_bytes < kLeastMemory; }, memory_text,
     "files-memory"},
    {"memory", kOk, always, memory_text},
    {"data", kProblem, [](F f) { return !f.files.data_error.empty(); },
     [](F) { return std::string("cannot be used"); }, nullptr,
     [](F f) { return failure_with_cause("files-data", f.files.data_error); }},
    {"data", kOk, always, [](F f) { return fmt::format("{}: {}", f.files.data_path, f.files.data_text); }},
    {"results", kProblem, [](F f) { return !f.files.runs_error.empty(); },
     [](F f) { return f.files.runs_path; }, nullptr,
     [](F f) { return failure_with_cause("files-results", f.files.runs_error); }},
    {"results", kProblem, [](F f) { return f.files.runs_free_bytes < kLeastDisk; }, runs_text, "files-disk"},
    {"results", kOk, always, runs_text},
    {"speed", kNote, [](F f) { return f.speed && falls_short(*f.speed); },
     [](F f) { return speed_text(*f.speed); }},
    {"speed", kOk, [](F f) { return f.speed.has_value(); }, [](F f) { return speed_text(*f.speed); }},
    {"speed", kProblem, [](F f) { return !f.speed_error.empty(); },
     [](F) { return std::string("the test failed"); }, nullptr,
     [](F f) {
       return Failure{"", FailureClass::machine, f.speed_error,
                      "'trainer doctor --explain' finds the row for such a message"};
     }},
};

std::string reason_for_no_gpu(F facts) {
  if (facts.asks_for_cpu) return "--device cpu";
  if (!shows_gpu(facts)) return "no NVIDIA GPU here";
  return facts.gpu.engine ? "the GPU cannot be used" : "built without the GPU engine";
}

void add_checks(F facts, std::span<const CheckRow> rows, std::vector<Check>* checks) {
  std::string_view said;
  for (const CheckRow& row : rows) {
    if (row.name == said || !row.applies(facts)) continue;
    said = row.name;
    checks->push_back({row.state, std::string(row.name), row.finding(facts)});
    if (row.state != kProblem) continue;
    const Failure failure = row.failure != nullptr ? row.failure(facts) : failure_of(known_failure(row.key));
    checks->back().cause = failure.cause;
    checks->back().fix = failure.fix;
    checks->back().kind = failure.kind;
  }
}

}  // namespace

Failure failure_with_cause(std::string_view key, const std::string& cause) {
  Failure failure = failure_of(known_failure(key));
  failure.cause = cause;
  return failure;
}

bool trains_on_gpu(F facts) {
  return facts.gpu.engine && !facts.gpu.failure && !facts.asks_for_cpu;
}

std::vector<Check> check_all(F facts) {
  std::vector<Check> checks;
  add_checks(facts, kProgramRows, &checks);
  if (!facts.asks_for_cpu) add_checks(facts, gpu_rows(), &checks);
  add_checks(facts, kMachineRows, &checks);
  return checks;
}

std::string verdict(F facts, const std::vector<Check>& checks) {
  const auto problems = std::ranges::count(checks, kProblem, &Check::state);
  if (problems > 0) {
    const FailureClass kind = class_of(checks);
    return fmt::format("{} {}; exit status {}: {}", problems, problems == 1 ? "problem" : "problems",
                       exit_status(kind), meaning(kind));
  }
  const std::string cpu = fmt::format("{}, {}", cores_text(facts.cpu), facts.cpu.instruction_set);
  if (!trains_on_gpu(facts))
    return fmt::format("healthy: trains on the CPU, {} ({})", cpu, reason_for_no_gpu(facts));
  return fmt::format("healthy: trains on GPU {}, {}, or with --device cpu on {}", facts.gpu.device,
                     facts.gpu.info.value_or(GpuInfo{}).name, cpu);
}

}  // namespace trainer::doctor

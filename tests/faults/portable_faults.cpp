// portable_faults [KIND SEED COUNT]...: tries COUNT faults of each KIND (fault_trial.hpp), of the seeds from SEED on, and prints one line
// of JSON for each. benchmarks/faults.py tallies them.
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/faults/fault_trial.hpp"

namespace trainer::test {
namespace {

FaultKind kind_named(const std::string& name) {
  for (const FaultKind kind : kFaultKinds) {
    if (name == fault_name(kind)) return kind;
  }
  throw std::runtime_error("'" + name + "' is no kind of fault: arithmetic, load, store, gpu_store");
}

void print(const nlohmann::ordered_json& value) {
  std::puts(value.dump().c_str());
}

void run(int count, char** words) {
  if (count % 3 != 1) throw std::runtime_error("usage: portable_faults [KIND SEED COUNT]...");
  print({{"parameters", fault_network_parameters()}, {"steps", kFaultSteps}});
  for (int i = 1; i < count; i += 3) {
    for (const FaultResult& r :
         try_faults(kind_named(words[i]), std::stoull(words[i + 1]), std::stoull(words[i + 2]))) {
      print({{"kind", fault_name(r.kind)},
             {"seed", r.seed},
             {"step", r.step},
             {"event", r.event},
             {"bit", r.bit},
             {"where", r.where},
             {"end", end_name(r.end)},
             {"found", r.found()},
             {"first_step", r.first_step},
             {"traced", r.traced()},
             {"weight_moved", r.weight_moved},
             {"came_back", r.came_back()}});
    }
  }
}

}  // namespace
}  // namespace trainer::test

int main(int count, char** words) {
  try {
    trainer::test::run(count, words);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "portable_faults: %s\n", error.what());
    return 1;
  }
}

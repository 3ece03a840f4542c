#include "tests/faults/fault_trial.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <random>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/counted.hpp"
#include "tests/faults/fault_training.hpp"
#include "tests/faults/watched_kernels.hpp"
#include "tests/faults/watched_words.hpp"

namespace trainer::test {

namespace {

bool in_values(FaultKind kind) {
  return kind == FaultKind::arithmetic || kind == FaultKind::load;
}
faults::Event event_of(FaultKind kind) {
  return kind == FaultKind::load ? faults::Event::load : faults::Event::arithmetic;
}

// A training without a fault: its marks, and how many places each step has for one.
struct Clean {
  std::array<Marks, kFaultSteps> marks;
  std::array<std::uint64_t, kFaultSteps> events{};
  rlim_t most_seconds = 0;  // of a trial's processor: a count that a fault made large takes long to reach
};

Clean train_cleanly(FaultKind kind) {
  const std::clock_t begin = std::clock();
  Clean clean;
  FaultTraining training(kind);
  kernel_watch.counted = in_values(kind);
  for (std::size_t step = 0; step < kFaultSteps; ++step) {
    faults::counter = {};
    const std::uint64_t before = launches(kind);
    training.step();
    clean.events[step] = in_values(kind) ? faults::counter.count(event_of(kind)) : launches(kind) - before;
    clean.marks[step] = training.marks();
  }
  kernel_watch.counted = false;
  clean.most_seconds = 2 + 10 * static_cast<rlim_t>(std::clock() - begin) / CLOCKS_PER_SEC;
  return clean;
}

struct Fault {
  FaultResult result;
  std::uint64_t place = 0;  // in memory: a word of those that count, modulo their number
};

Fault draw(FaultKind kind, std::uint64_t seed, const Clean& clean) {
  std::mt19937_64 random(seed);
  std::uint64_t all = 0;
  for (const std::uint64_t events : clean.events) all += events;
  Fault fault;
  fault.result.seed = seed;
  fault.result.kind = kind;
  std::uint64_t event = random() % all;
  while (event >= clean.events[static_cast<std::size_t>(fault.result.step)])
    event -= clean.events[static_cast<std::size_t>(fault.result.step++)];
  fault.result.event = event;
  fault.place = random();
  fault.result.bit = static_cast<unsigned>(random() % 64);
  return fault;
}

// What a trial's process tells. It lies in memory that both processes see, so that it is there after a crash too, and nothing that
// the process judges by can be overwritten: the other one compares.
struct Seen {
  int step = 0;  // in progress
  bool failed = false, completed = false;
  char where[48] = "";
  std::array<Marks, kFaultSteps> marks;
};

void note(Seen& seen, const std::string& where) {
  std::snprintf(seen.where, sizeof seen.where, "%s", where.c_str());
}

// The words that differ from `before`; all, if `before` is empty or none differs.
std::vector<std::uint64_t> changed_words(const WatchedWords& words,
                                         const std::vector<std::uint32_t>& before) {
  const std::vector<std::uint32_t> now = words.copy();
  std::vector<std::uint64_t> changed;
  for (std::uint64_t i = 0; i < now.size(); ++i) {
    if (before.empty() || now[i] != before[i]) changed.push_back(i);
  }
  return changed.empty() ? changed_words(words, {}) : changed;
}

// A step after whose kernel number `event` a bit flips: of all memory, or of what that kernel has changed.
void run_step_with_memory_fault(const Fault& fault, FaultTraining& training, Seen& seen) {
  const FaultKind kind = fault.result.kind;
  const WatchedWords words(training.engine());
  std::vector<std::uint32_t> before;
  const auto flip = [&] {
    const std::vector<std::uint64_t> places = changed_words(words, before);
    note(seen, words.flip(places[fault.place % places.size()], fault.result.bit));
  };
  const auto look = [&] {
    before = words.copy();
    call_after(kind, 1, flip);
  };
  const bool any = kind == FaultKind::memory || kind == FaultKind::gpu_memory;
  if (any || fault.result.event == 0) {
    if (!any) before = words.download(training.engine());
    call_after(kind, fault.result.event + 1, flip);
  } else {
    call_after(kind, fault.result.event, look);
  }
  training.step();
}

void run_step_with(const Fault& fault, FaultTraining& training, Seen& seen) {
  const FaultKind kind = fault.result.kind;
  if (!in_values(kind)) return run_step_with_memory_fault(fault, training, seen);
  faults::counter = {.bit = fault.result.bit};
  faults::counter.left[static_cast<int>(event_of(kind))] = fault.result.event;
  kernel_watch.counted = true;
  training.step();
  kernel_watch.counted = false;
  if (kernel_watch.hit != nullptr) note(seen, kernel_watch.hit);
}

// The steps from the fault's on.
void go_on_with(const Fault& fault, FaultTraining& training, Seen& seen) {
  for (int step = fault.result.step; step < kFaultSteps; ++step) {
    seen.step = step;
    step == fault.result.step ? run_step_with(fault, training, seen) : training.step();
    seen.marks[static_cast<std::size_t>(step)] = training.marks();
  }
  seen.completed = true;
}

// What a trial has shown, against the clean training.
FaultResult judged(const Fault& fault, const Clean& clean, const Seen& seen, FaultEnd end) {
  FaultResult result = fault.result;
  result.where = seen.where;
  result.end = end;
  const int after = end == FaultEnd::completed ? kFaultSteps : seen.step;
  for (int step = fault.result.step; step < after; ++step) {
    const Marks& marks = seen.marks[static_cast<std::size_t>(step)];
    const Marks& wanted = clean.marks[static_cast<std::size_t>(step)];
    if (result.first_step < 0 && !equal(marks.step, wanted.step)) result.first_step = step;
    result.run_differs = !equal(marks.run, wanted.run);
    result.weight_differs = !equal(marks.weights, wanted.weights);
    result.weight_moved = result.weight_moved || result.weight_differs;
  }
  if (result.first_step < 0 && end != FaultEnd::completed) result.first_step = seen.step;
  return result;
}

// A message of a process that a fault ends helps nobody, nor does its core; and it does end.
void confine(const Clean& clean) {
  const rlimit none{0, 0};
  const rlimit seconds{clean.most_seconds, clean.most_seconds + 1};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_CPU, &seconds);
  const int nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere, STDERR_FILENO);
  dup2(nowhere, STDOUT_FILENO);
}

FaultEnd end_of(const Seen& seen, int status) {
  if (seen.completed) return FaultEnd::completed;
  if (seen.failed) return FaultEnd::failed;
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU ? FaultEnd::endless : FaultEnd::crashed;
}

FaultResult try_fault(const Fault& fault, FaultTraining& training, const Clean& clean, Seen& seen) {
  seen = Seen{};
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork: no process for a trial");
  if (child == 0) {
    confine(clean);
    try {
      go_on_with(fault, training, seen);
    } catch (const std::exception&) {
      seen.failed = true;
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return judged(fault, clean, seen, end_of(seen, status));
}

struct Unmap {
  void operator()(Seen* seen) const { munmap(seen, sizeof *seen); }
};

std::unique_ptr<Seen, Unmap> shared_memory() {
  void* memory = mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("mmap: no memory that two processes share");
  return std::unique_ptr<Seen, Unmap>(new (memory) Seen);
}

}  // namespace

const char* fault_name(FaultKind kind) {
  switch (kind) {
    case FaultKind::arithmetic:
      return "arithmetic";
    case FaultKind::load:
      return "load";
    case FaultKind::store:
      return "store";
    case FaultKind::memory:
      return "memory";
    case FaultKind::gpu_store:
      return "gpu_store";
    case FaultKind::gpu_memory:
      return "gpu_memory";
  }
  return "";
}

const char* end_name(FaultEnd end) {
  switch (end) {
    case FaultEnd::completed:
      return "completed";
    case FaultEnd::failed:
      return "failed";
    case FaultEnd::crashed:
      return "crashed";
    case FaultEnd::endless:
      return "endless";
  }
  return "";
}

std::vector<FaultResult> try_faults(FaultKind kind, std::uint64_t seed, std::uint64_t count) {
  const Clean clean = train_cleanly(kind);
  std::vector<Fault> faults;
  for (std::uint64_t i = 0; i < count; ++i) faults.push_back(draw(kind, seed + i, clean));
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Fault& a, const Fault& b) { return a.result.step < b.result.step; });
  const auto seen = shared_memory();
  std::vector<FaultResult> results;
  FaultTraining training(kind);
  auto next = faults.begin();
  for (int step = 0; step < kFaultSteps; ++step) {
    for (; next != faults.end() && next->result.step == step; ++next)
      results.push_back(try_fault(*next, training, clean, *seen));
    training.step();
    if (!equal(training.marks().step, clean.marks[static_cast<std::size_t>(step)].step))
      throw std::runtime_error(fmt::format("step {}: two trainings without a fault differ", step));
  }
  return results;
}

}  // namespace trainer::test

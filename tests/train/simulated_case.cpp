// What must hold whatever happens: a rank's end names who is to blame, checkpoints are whole, and the bits are those of a training that
// nothing has disturbed.
#include "tests/train/simulated_case.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <random>

#include "tests/support/temporary_folder.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer::test {

namespace {

constexpr int kMostAttempts = 12;  // nothing disturbs the last one

class Case {
 public:
  Case(CaseRunner& runner, const SimulatedTraining& simulated, std::uint64_t seed)
      : runner_(runner), simulated_(simulated), dice_(seed), training_(drawn_training()) {}

  CaseReport run() {
    for (int i = 0; i < kMostAttempts && !finished_ && report_.failures.empty(); ++i) {
      attempt_ = drawn_attempt(i + 1 == kMostAttempts);
      note(fmt::format("---- attempt {}: {} ranks, seed {}, stops [{}]", i + 1, attempt_.ranks, attempt_.seed,
                       fmt::join(attempt_.stops, ", ")));
      result_ = simulated_.run(training_, attempt_, checkpoint());
      report_.trace.insert(report_.trace.end(), result_.run.trace.begin(), result_.run.trace.end());
      check();
    }
    expect(finished_ || !report_.failures.empty(), "the training has not ended");
    return std::move(report_);
  }

 private:
  std::uint64_t below(std::uint64_t count) { return dice_() % count; }
  std::filesystem::path checkpoint() const { return folder_ / "checkpoint.safetensors"; }
  bool portable() const { return training_.bits == Bits::portable; }
  void note(const std::string& text) { report_.trace.push_back(text); }
  void expect(bool holds, const std::string& text) {
    if (holds) return;
    report_.failures.push_back(text);
    note("FAILURE: " + text);
  }

  RankedTraining drawn_training() {
    RankedTraining training;
    const std::uint64_t kind = below(8);
    if (kind == 0) training.network = "quick";
    if (kind == 1 || kind == 2) {
      training.bits = Bits::fast;
      training.gradient_bits = 1;
      training.warm_start_images = below(2) * 64;
    } else {
      training.validation = static_cast<std::uint32_t>(below(2) * 30);
      training.digest_steps = below(2);
    }
    training.checkpoint_steps = 1 + below(5);
    note(fmt::format(
        "{}, {} bits, gradients of {} bits, a warm start of {} images, {} images of validation, checkpoints "
        "every {} steps",
        training.network, training.bits == Bits::portable ? "portable" : "fast", training.gradient_bits,
        training.warm_start_images, training.validation, training.checkpoint_steps));
    return training;
  }

  Attempt drawn_attempt(bool is_last) {
    static constexpr int kRanks[] = {2, 4, 8, 1, 0};
    Attempt attempt;
    do {
      attempt.ranks = kRanks[below(portable() ? 5 : 3)];
    } while (attempt.ranks == attempt_.ranks);
    if (!portable() && attempt_.ranks > 0 && below(2) == 0) attempt.ranks = attempt_.ranks;
    comparable_ = comparable_ && (portable() || attempt_.ranks < 0 || attempt.ranks == attempt_.ranks);
    attempt.seed = dice_();
    if (is_last) return attempt;
    attempt.messages = runner_.messages(training_, attempt.ranks);
    if (below(3) == 0) {
      for (int rank = 0; rank < std::max(attempt.ranks, 1); ++rank)
        attempt.stops.push_back(below(2) == 0 ? kNever : below(30));
    }
    return attempt;
  }

  void check() {
    met_ = std::ranges::any_of(result_.run.trace, [](const std::string& line) {
      return line.ends_with(" dies") || line.ends_with(" freezes");
    });
    if (met_) ++(result_.run.fate.kind == Fate::Kind::dies ? report_.deaths : report_.freezes);
    for (std::size_t rank = 0; rank < result_.ends.size(); ++rank) {
      check_error(static_cast<int>(rank));
      check_bits(rank);
    }
    check_common_end();
    check_file();
    const std::optional<LoopResult>& first = result_.ends[0].result;
    finished_ = first && first->reason == StopReason::finished;
    if (first && first->reason == StopReason::signal) ++report_.stops;
  }

  std::string error_of(int rank) const {
    try {
      if (const std::exception_ptr error = result_.run.errors[static_cast<std::size_t>(rank)];
          error != nullptr)
        std::rethrow_exception(error);
    } catch (const RankDied&) {
      return "died";
    } catch (const RankLost& lost) {
      return lost.what();
    } catch (const std::exception& other) {
      return std::string("other: ") + other.what();
    }
    return "";
  }

  // The rank that this one has lost, or -1.
  int lost_by(int rank) const {
    int lost = -1;
    return std::sscanf(error_of(rank).c_str(), "rank %d did not reach", &lost) == 1 ? lost : -1;
  }

  // Some lose the dead rank itself, others one that has lost it before.
  bool blames_the_fated(int rank) const {
    for (int hops = 0; hops <= attempt_.ranks && rank >= 0; ++hops, rank = lost_by(rank))
      if (rank == result_.run.fate.rank) return true;
    return false;
  }

  void check_error(int rank) {
    const std::string error = error_of(rank);
    const Fate& fate = result_.run.fate;
    const bool dies = met_ && fate.kind == Fate::Kind::dies && fate.rank == rank;
    if (!error.empty()) note(fmt::format("rank {}: {}", rank, error));
    const bool is_right = dies            ? error == "died"
                          : error.empty() ? true
                                          : met_ && lost_by(rank) >= 0 && blames_the_fated(rank);
    expect(is_right,
           fmt::format("rank {}: '{}' ({})", rank, error,
                       met_ ? fmt::format("rank {} had died or frozen", fate.rank) : "no rank had died"));
  }

  // What a rank has computed, as far as it came.
  void check_bits(std::size_t rank) {
    const RankEnd& end = result_.ends[rank];
    if (end.start && *end.start > 0 && rank == 0) ++report_.resumed;
    if (!comparable_) return;
    const Undisturbed& want = runner_.undisturbed(training_, attempt_.ranks);
    const auto expect_equal = [&](const std::string& digest, const std::string& wanted,
                                  const std::string& when) {
      expect(digest == wanted, fmt::format("rank {} has other bits {}", rank, when));
    };
    if (end.result && end.result->reason == StopReason::finished)
      expect_equal(end.digest, want.digest, "at the end");
    if (!portable()) return;
    if (end.start)
      expect_equal(end.start_digest, want.digests.at(*end.start),
                   fmt::format("at its start, step {}", *end.start));
    for (const auto& [step, digest] : end.digests)
      expect_equal(digest, want.digests.at(step), fmt::format("after step {}", step));
    for (const EpochRecord& epoch : end.epochs) check_epoch(rank, epoch, want);
  }

  void check_epoch(std::size_t rank, const EpochRecord& epoch, const Undisturbed& undisturbed) {
    const std::string what = fmt::format("rank {}, epoch {}", rank, epoch.epoch);
    if (epoch.epoch == 0 || epoch.epoch > undisturbed.epochs.size())
      return expect(false, what + ": there is none");
    const EpochRecord& want = undisturbed.epochs[epoch.epoch - 1];
    const auto near = [](double a, double b) { return std::abs(a - b) < 1e-6; };
    expect(epoch.step == want.step, fmt::format("{}: step {}, not {}", what, epoch.step, want.step));
    expect(epoch.images == want.images,
           fmt::format("{}: {} images, not {}", what, epoch.images, want.images));
    expect(near(epoch.train_loss, want.train_loss) && near(epoch.train_accuracy, want.train_accuracy),
           what + ": other training sums");
    expect(near(epoch.test.loss, want.test.loss) && epoch.test.accuracy == want.test.accuracy,
           what + ": another test score");
    expect(epoch.validation.has_value() == want.validation.has_value() &&
               (!want.validation || epoch.validation->accuracy == want.validation->accuracy),
           what + ": another validation score");
  }

  // The ranks that ended without an error did so in the same way, after the same step.
  void check_common_end() {
    const RankEnd* first = nullptr;
    for (const RankEnd& end : result_.ends) {
      if (!end.result) continue;
      if (first == nullptr) first = &end;
      expect(end.result->position.step == first->result->position.step &&
                 end.result->reason == first->result->reason,
             fmt::format("ranks stop after steps {} and {}", end.result->position.step,
                         first->result->position.step));
      expect(end.digest == first->digest, "replicas differ at the end");
      expect(end.epochs.size() == first->epochs.size(), "ranks have evaluated different epochs");
    }
  }

  void check_file() {
    const bool is_there = std::filesystem::exists(checkpoint());
    const auto files = std::distance(std::filesystem::directory_iterator(folder_.path()), {});
    expect(files == (is_there ? 1 : 0), "files other than the checkpoint are left over");
    std::uint64_t step = 0;
    try {
      if (is_there) step = read_saved_network(SafetensorsFile::read(checkpoint())).position.step;
    } catch (const std::exception& error) {
      expect(false, std::string("the checkpoint cannot be read: ") + error.what());
    }
    const RankEnd& first = result_.ends[0];
    expect(step >= saved_step_,
           fmt::format("the checkpoint of step {} is older than that of step {}", step, saved_step_));
    if (first.result)
      expect(step == first.result->position.step, fmt::format("the last checkpoint is of step {}", step));
    saved_step_ = step;
  }

  CaseRunner& runner_;
  const SimulatedTraining& simulated_;
  std::mt19937_64 dice_;
  CaseReport report_;
  RankedTraining training_;
  TemporaryFolder folder_;
  Attempt attempt_{.ranks = -1};
  AttemptResult result_;
  bool met_ = false;        // the fate of this attempt
  bool comparable_ = true;  // fast bits: the number of ranks has not changed
  bool finished_ = false;
  std::uint64_t saved_step_ = 0;
};

// Fast bits depend on the number of ranks; checkpoints and digests of steps change none.
std::string key_of(const RankedTraining& training, int ranks) {
  return fmt::format("{} {} {} {} {} {}", training.network, static_cast<int>(training.bits),
                     training.gradient_bits, training.warm_start_images, training.validation, ranks);
}

}  // namespace

CaseReport CaseRunner::run(std::uint64_t seed) {
  return Case(*this, simulated_, seed).run();
}

AttemptResult CaseRunner::run_undisturbed(const RankedTraining& training, int ranks) const {
  const TemporaryFolder folder;
  return simulated_.run(training, {.ranks = ranks}, folder / "checkpoint.safetensors");
}

const Undisturbed& CaseRunner::undisturbed(const RankedTraining& training, int ranks) {
  const bool portable = training.bits == Bits::portable;
  Undisturbed& known = undisturbed_[key_of(training, portable ? 0 : ranks)];
  if (!known.digest.empty()) return known;
  RankedTraining observed = training;
  observed.digest_steps = portable ? 1 : 0;
  const RankEnd end = run_undisturbed(observed, portable ? 0 : ranks).ends[0];
  known = {end.digest, end.digests, end.epochs};
  known.digests[0] = end.start_digest;
  return known;
}

std::uint64_t CaseRunner::messages(const RankedTraining& training, int ranks) {
  if (ranks == 0) return kNever;
  std::string key = fmt::format("{} {}", key_of(training, ranks), training.checkpoint_steps);
  std::uint64_t& known = messages_[key];
  if (known == 0) {
    known = static_cast<std::uint64_t>(std::ranges::count_if(
        run_undisturbed(training, ranks).run.trace,
        [](const std::string& line) { return line.find(" rank 0 sends ") != std::string::npos; }));
  }
  return known;
}

}  // namespace trainer::test

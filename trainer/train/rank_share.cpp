#include "trainer/train/rank_share.hpp"

#include <sched.h>
#include <set>
#include <unistd.h>

#include "trainer/system/errors.hpp"
#include "trainer/system/sha256.hpp"
#include "trainer/system/version.hpp"
#include "trainer/train/digest.hpp"

namespace trainer {

namespace {

constexpr int kMostPortableRanks = 8;  // the shards of kernels/portable/batch_sum.hpp

// Something that all ranks must have in common, as text.
struct CommonFact {
  const char* what;
  std::string value;
};

void require_common(const std::vector<CommonFact>& facts, Communicator& ranks) {
  struct Text {
    char value[160];
  };
  for (const CommonFact& fact : facts) {
    Text own{};
    fact.value.copy(own.value, sizeof(own.value) - 1);
    const std::vector<Text> all = gathered(own, ranks);
    for (std::size_t r = 1; r < all.size(); ++r) {
      const std::string_view there = sent_text(all[r].value), first = sent_text(all[0].value);
      if (there == first) continue;
      throw UsageError(
          fmt::format("the ranks do not match: rank {} has {} {}, rank 0 has {}; start the same program with "
                      "the same options and data on every machine",
                      r, fact.what, there, first));
    }
  }
}

}  // namespace

RankPart share_out(Setup& setup, Communicator& ranks) {
  const int batch = setup.spec.recipe.batch;
  if (batch < ranks.size())
    throw UsageError(
        fmt::format("{} ranks for batches of {} images: some would have none; start fewer ranks, "
                    "or give a larger --batch",
                    ranks.size(), batch));
  if (setup.settings.bits && kMostPortableRanks % ranks.size() != 0)
    throw UsageError(
        fmt::format("--bits portable on {} ranks: it adds up in 8 shards; start 1, 2, 4 or 8", ranks.size()));
  const int first = first_row(batch, ranks.rank(), ranks.size());
  const TrainSettings& settings = setup.settings;
  const auto images = static_cast<std::uint64_t>(batch);
  const RankPart part{.ranks = &ranks,
                      .batch = batch,
                      .first = first,
                      .sync_batchnorm = settings.sync_batchnorm.value_or(false),
                      .gradient_bits = settings.gradient_bits.value_or(32),
                      .full_steps = (settings.warm_start_images.value_or(0) + images - 1) / images};
  const auto rows = static_cast<std::uint32_t>(most_rows(batch, ranks.size()));
  setup.plan = make_plan(setup.spec, {setup.dataset.shape, setup.dataset.classes, static_cast<int>(rows)});
  Batching& train = setup.train;
  train.all_rows = train.batch;
  train.batch = rows;
  train.first_row = static_cast<std::uint32_t>(first);
  train.own_rows = static_cast<std::uint32_t>(first_row(batch, ranks.rank() + 1, ranks.size()) - first);
  return part;
}

Batching part_of(const Batching& whole, const RankPart& part, std::uint32_t rows) {
  if (part.ranks == nullptr) return whole;
  const auto border = [&](int rank) {
    return static_cast<std::uint32_t>(first_row(static_cast<int>(whole.images), rank, part.ranks->size()));
  };
  const std::uint32_t begin = border(part.ranks->rank());
  return {border(part.ranks->rank() + 1) - begin, whole.first + begin, rows, Order::fixed, LastBatch::mask};
}

std::optional<StepState> sums_of_all(const StepState& own, bool done, const RankPart& part) {
  if (part.ranks == nullptr) return done ? std::optional(own) : std::nullopt;
  struct Sums {
    double loss_sum;
    std::uint64_t correct, images, done;
  };
  StepState all = own;
  all.loss_sum = 0;
  all.correct = all.images = 0;
  for (const Sums& sums :
       gathered<Sums>({own.loss_sum, own.correct, own.images, done ? 1U : 0U}, *part.ranks)) {
    if (sums.done == 0) return std::nullopt;
    all.loss_sum += sums.loss_sum;
    all.correct += sums.correct;
    all.images += sums.images;
  }
  return all;
}

RankPlaces places_of(Communicator& ranks) {
  struct Name {
    char text[HOST_NAME_MAX + 1];
  };
  Name own{};
  gethostname(own.text, HOST_NAME_MAX);
  RankPlaces places{0, 0, 0};
  std::set<std::string> machines;
  const std::vector<Name> names = gathered(own, ranks);
  for (std::size_t r = 0; r < names.size(); ++r) {
    machines.emplace(sent_text(names[r].text));
    if (sent_text(names[r].text) != own.text) continue;
    places.place += std::cmp_less(r, ranks.rank()) ? 1 : 0;
    ++places.on_this_machine;
  }
  places.machines = static_cast<int>(machines.size());
  return places;
}

void share_machine(DeviceRequest& request, const RankPlaces& places) {
  if (request.device == "auto" || request.device == "cuda") {
    const auto gpus = static_cast<int>(all_gpus().size());
    const bool has_one_each = gpus <= 1;  // none, or the one that the launcher shows to each rank
    if (!has_one_each && places.place >= gpus)
      throw UsageError(
          fmt::format("{} ranks on a machine with {} GPUs: each needs its own; start at most {} there, or "
                      "choose --device cpu",
                      places.on_this_machine, gpus, gpus));
    if (!has_one_each) request.device = fmt::format("cuda:{}", places.place);
  }
  if (request.threads) return;
  cpu_set_t own;
  const int usable = sched_getaffinity(0, sizeof(own), &own) == 0 ? CPU_COUNT(&own) : 1;
  const bool bound =
      usable < sysconf(_SC_NPROCESSORS_ONLN);  // by the launcher, which has divided the cores already
  request.threads = bound ? usable : std::max(usable / places.on_this_machine, 1);
}

void require_same_training(const Setup& setup, const std::string& precision, const Network& network,
                           std::uint64_t step, Communicator& ranks) {
  const auto hash = [](const std::string& text) { return sha256_hex(std::as_bytes(std::span(text))); };
  require_common({{"the program", fmt::format("{} ({})", kVersion, kCommit)},
                  {"the data set", setup.dataset.fingerprint},
                  {"the precision", precision},
                  {"a network with the hash", hash(setup.spec.text)},
                  {"settings with the hash", hash(to_json(setup.settings).dump())},
                  {"as its first step", std::to_string(step)},
                  {"first weights with the digest", digest_with_optimizer(network)}},
                 ranks);
}

}  // namespace trainer

#include "trainer/infer/trained_network.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <set>
#include <system_error>
#include <utility>

#include "data/idx.hpp"
#include "models/words.hpp"
#include "trainer/device/memory_need.hpp"
#include "trainer/store/run_record.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/train/evaluation.hpp"

namespace trainer {

namespace fs = std::filesystem;

namespace {

void require_same_task(const SavedNetwork& a, const SavedNetwork& b, const std::string& names) {
  if (a.image == b.image && a.classes == b.classes && a.label_names == b.label_names && a.fit == b.fit)
    return;
  throw UsageError(names + " take other images or know other labels: a committee's networks are of one task");
}

}  // namespace

TrainedNetwork::TrainedNetwork(const Environment& environment, const InferenceOptions& options, int batch)
    : path_(model_file(resolve_run(options.run, environment.runs))), views_(options.views) {
  const SafetensorsFile file = SafetensorsFile::read(path_);
  saved_ = read_saved_network(file);
  DeviceRequest device = options.device;
  device.plan_cache = environment.cache;
  device.wanted = trained_precision(saved_.settings);
  if (!device.bits) device.bits = saved_.settings.bits;
  if (device.bits != "portable") device.engine = saved_.settings.engine;
  device_ = choose_device(device);
  const Plan plan = make_plan(saved_.spec, {saved_.image, saved_.classes, batch});
  require_memory(plan, 1, device_.backend->info(Libraries::opened));
  network_.emplace_back(plan, *device_.backend, Purpose::inference);
  load_weights(file, network(), false);
  InferenceOptions alone = options;
  alone.members.clear();
  others_.reserve(options.members.size());
  for (const std::string& member : options.members) {
    alone.run = member;
    others_.emplace_back(environment, alone, batch);
    require_same_task(saved_, others_.back().saved_, fmt::format("{} and {}", options.run, member));
  }
}

const char* TrainedNetwork::device_name() const {
  return device_.backend->info().gpu ? "GPU" : "CPU";
}

std::string TrainedNetwork::label_name(int label) const {
  const auto index = static_cast<std::size_t>(label);
  return index < saved_.label_names.size() ? printable(saved_.label_names[index]) : std::to_string(label);
}

std::vector<std::string> TrainedNetwork::others() const {
  std::vector<std::string> files;
  files.reserve(others_.size());
  for (const TrainedNetwork& other : others_) files.push_back(other.path_.string());
  return files;
}

std::vector<float> TrainedNetwork::logits(std::span<const std::uint8_t> images) {
  std::vector<float> all = own_logits(images);
  if (others_.empty()) return all;
  const auto classes = static_cast<std::size_t>(saved_.classes);
  const double share = 1 / static_cast<double>(1 + others_.size());
  take_log_softmax(all, classes, share);
  for (TrainedNetwork& other : others_) {
    std::vector<float> more = other.own_logits(images);
    take_log_softmax(more, classes, share);
    std::ranges::transform(all, more, all.begin(), std::plus<>());
  }
  return all;
}

std::vector<float> TrainedNetwork::own_logits(std::span<const std::uint8_t> images) {
  if (images.empty()) return {};
  const DeviceInfo info = device_.backend->info(Libraries::opened);
  if (info.kind == "cpu") require_address_space("an evaluation", 0, info.cpu.threads);
  const std::size_t count = images.size() / saved_.image.size();
  std::vector<float> all =
      Inference(network(), *device_.backend, count, saved_.scaling, saved_.spec.recipe.input.augmentation)
          .run(images);
  if (!std::ranges::all_of(all, [](float y) { return std::isfinite(y); }))
    throw FileError(
        fmt::format("{}: the network's output is not finite: its weights are so large that sums overflow",
                    path_.string()));
  return all;
}

std::vector<float> TrainedNetwork::probabilities(std::span<const std::uint8_t> images) {
  const auto classes = static_cast<std::size_t>(saved_.classes);
  std::vector<float> all = logits(images);
  if (views() > 1)
    all = with_views(std::move(all), images, saved_.image, [this](auto shifted) { return logits(shifted); });
  take_log_softmax(all, classes, 1);
  for (float& value : all) value = static_cast<float>(std::exp(static_cast<double>(value)));
  return all;
}

namespace {

// Where the run had its data; empty if that is not known. A file alone has no record.
std::string recorded_data(const Environment& environment, const InferenceOptions& options) {
  const fs::path run = resolve_run(options.run, environment.runs);
  const fs::path record = (fs::is_directory(run) ? run : run.parent_path()) / kRunRecordName;
  return fs::exists(record) ? read_run_record(record).data.path : "";
}

// Transposes what the network's own images were transposed from, and other sets of EMNIST.
void transpose_as_trained(data::Dataset& dataset, const SavedNetwork& saved, bool is_own) {
  data::transpose(dataset);
  if (!is_own && !dataset.is_transposed && dataset.fingerprint != saved.fingerprint) data::transpose(dataset);
}

void require_known_labels(const data::Dataset& dataset, const SavedNetwork& saved,
                          const std::vector<std::string>& names) {
  std::set<std::string> unknown;
  for (const std::uint8_t label : dataset.test.labels)
    if (label >= saved.classes) unknown.insert(dataset.label_names[label]);
  if (unknown.empty()) return;
  throw UsageError(fmt::format("{}: the network does not know its labels {}; it knows {}",
                               dataset.path.string(), joined({unknown.begin(), unknown.end()}),
                               joined(names)));
}

}  // namespace

data::Dataset matching_test_data(const Environment& environment, const InferenceOptions& options,
                                 const SavedNetwork& saved) {
  require_address_space("reading a test set", kUsualDataBytes, kReadingThreads);
  const std::string own = options.data.empty() ? recorded_data(environment, options) : "";
  std::error_code ignored;
  const bool moved = !own.empty() && !fs::exists(own, ignored) && !data::holds_idx(own);
  const fs::path place = data_folder(environment, moved || own.empty() ? options.data : own);
  std::vector<std::string> names = saved.label_names;
  for (auto label = names.size(); std::cmp_less(label, saved.classes); ++label)
    names.push_back(std::to_string(label));
  data::Dataset dataset = data::load_dataset(place, {.classes = saved.classes,
                                                     .channels = saved.settings.channels,
                                                     .skip_bad_images = options.skip_bad_images,
                                                     .transpose = options.transpose,
                                                     .validation = saved.settings.validation != 0U,
                                                     .label_names = names});
  if (saved.settings.transpose && !options.transpose) transpose_as_trained(dataset, saved, !own.empty());
  if (moved && dataset.fingerprint != saved.fingerprint)
    throw UsageError(fmt::format("{}: the run's data set is not there any more; name it with --data", own));
  const Shape& s = dataset.shape;
  if (s != saved.image)
    throw UsageError(fmt::format("{}: images of {}x{}x{}, but the network takes {}x{}x{}",
                                 dataset.path.string(), s.h, s.w, s.c, saved.image.h, saved.image.w,
                                 saved.image.c));
  require_known_labels(dataset, saved, names);
  return dataset;
}

std::uint64_t TestAnswers::labelled(int label) const {
  std::uint64_t sum = 0;
  for (int p = 0; p < classes; ++p) sum += at(label, p);
  return sum;
}

std::uint64_t TestAnswers::predicted(int prediction) const {
  std::uint64_t sum = 0;
  for (int l = 0; l < classes; ++l) sum += at(l, prediction);
  return sum;
}

// The logits of all images, of which each rank works out a part.
static std::vector<float> logits_of_ranks(TrainedNetwork& trained, std::span<const std::uint8_t> images,
                                          Communicator* ranks) {
  if (ranks == nullptr) return trained.logits(images);
  const std::size_t size = trained.saved().image.size();
  const auto classes = static_cast<std::size_t>(trained.saved().classes);
  const auto count = static_cast<int>(images.size() / size);
  const auto begin = static_cast<std::size_t>(first_row(count, ranks->rank(), ranks->size()));
  const auto end = static_cast<std::size_t>(first_row(count, ranks->rank() + 1, ranks->size()));
  const std::vector<float> own = trained.logits(images.subspan(begin * size, (end - begin) * size));
  std::vector<float> all(images.size() / size * classes);
  std::ranges::copy(own, all.begin() + static_cast<std::ptrdiff_t>(begin * classes));
  gather_rows({.ranks = ranks, .batch = count}, all.data(), classes * sizeof(float));
  return all;
}

TestAnswers answer_test_set(TrainedNetwork& trained, const data::Split& test, Communicator* ranks) {
  TestAnswers answers;
  answers.classes = trained.saved().classes;
  const auto classes = static_cast<std::size_t>(answers.classes);
  answers.confusion.assign(classes * classes, 0);
  const LogitsOf plain = [&](std::span<const std::uint8_t> images) {
    return logits_of_ranks(trained, images, ranks);
  };
  answers.logits = plain(test.images);
  if (trained.views() > 1)
    answers.logits = with_views(std::move(answers.logits), test.images, trained.saved().image, plain);
  answers.score = score_of(answers.logits, test.labels);
  for (std::size_t n = 0; n < test.count(); ++n) {
    const float* row = answers.logits.data() + n * classes;
    const double whole = log_sum_exp({row, classes});
    const auto predicted = static_cast<std::size_t>(std::max_element(row, row + classes) - row);
    const std::size_t label = test.labels[n];
    ++answers.confusion[label * classes + predicted];
    answers.predictions.push_back(static_cast<std::uint8_t>(predicted));
    answers.confidences.push_back(static_cast<float>(std::exp(row[predicted] - whole)));
  }
  return answers;
}

double fraction(std::uint64_t part, std::uint64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace trainer

#include "trainer/train/evaluation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

#include "trainer/train/rank_share.hpp"

namespace trainer {

namespace {

Buffer make_resident(Backend& backend, const auto& values, const char* what) {
  return backend.make_resident(values.data(), values.size(), what);
}

constexpr std::array<std::array<int, 2>, kViews - 1> kShifts{{{-1, 0}, {1, 0}, {0, -1}, {0, 1}}};

std::size_t asked_again(std::size_t images) {
  constexpr std::size_t kFewImages = 100;
  return std::min(images, std::max(kFewImages, (images + 9) / 10));
}

// The positions of the images whose two largest logits differ least.
std::vector<std::size_t> least_certain(const std::vector<float>& logits, std::size_t classes) {
  const std::size_t count = logits.size() / classes;
  std::vector<std::pair<float, std::size_t>> margins;
  margins.reserve(count);
  for (std::size_t n = 0; n < count; ++n) {
    std::array<float, 2> most{};
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(n * classes);
    std::partial_sort_copy(row, row + static_cast<std::ptrdiff_t>(classes), most.begin(), most.end(),
                           std::greater<>());
    margins.emplace_back(most[0] - most[1], n);
  }
  std::ranges::sort(margins);
  margins.resize(asked_again(count));
  std::vector<std::size_t> chosen;
  chosen.reserve(margins.size());
  for (const auto& [margin, n] : margins) chosen.push_back(n);
  return chosen;
}

// Appends the image, moved down and right by so many pixels, row by row.
void append_shifted(const std::uint8_t* image, const Shape& shape, int down, int right,
                    std::vector<std::uint8_t>& images) {
  const std::size_t begin = images.size(), row = shape.w * shape.c, off = std::abs(right) * shape.c;
  images.resize(begin + shape.size());
  for (int y = std::max(down, 0); y < shape.h + std::min(down, 0); ++y) {
    const std::uint8_t* from = image + (y - down) * row + (right < 0 ? off : 0);
    std::copy_n(from, row - off, images.data() + begin + y * row + (right > 0 ? off : 0));
  }
}

}  // namespace

ResidentData::ResidentData(Backend& backend, const Setup& setup)
    : scaling_(setup.scaling),
      augmentation_(setup.spec.recipe.input.augmentation),
      train_images_(make_resident(backend, setup.dataset.train.images, "the training images")),
      train_labels_(make_resident(backend, setup.dataset.train.labels, "the training labels")),
      test_images_(make_resident(backend, setup.dataset.test.images, "the test images")),
      test_labels_(make_resident(backend, setup.dataset.test.labels, "the test labels")) {}

StepInput ResidentData::train_input(const Batching& batching) const {
  return {train_images_.as<std::uint8_t>(), train_labels_.as<std::uint8_t>(), batching, scaling_,
          augmentation_};
}

StepInput ResidentData::test_input(const Batching& batching) const {
  return {test_images_.as<std::uint8_t>(), test_labels_.as<std::uint8_t>(), batching, scaling_,
          augmentation_};
}

Score score_of(const StepState& sums) {
  const auto images = static_cast<double>(sums.images);
  return {sums.images, sums.loss_sum / images, static_cast<double>(sums.correct) / images};
}

Score score_of(std::span<const float> logits, std::span<const std::uint8_t> labels) {
  const std::size_t classes = logits.size() / labels.size();
  double loss = 0;
  std::uint64_t correct = 0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const std::span<const float> row = logits.subspan(n * classes, classes);
    loss += log_sum_exp(row) - row[labels[n]];
    correct += std::ranges::max_element(row) - row.begin() == labels[n] ? 1 : 0;
  }
  const auto count = static_cast<double>(labels.size());
  return {labels.size(), loss / count, static_cast<double>(correct) / count};
}

Inference::Inference(Network& network, Backend& backend, const StepInput& input)
    : network_(network),
      backend_(backend),
      count_(input.batching.images),
      step_(backend.record({{[&network, input] { network.evaluate_step(input); }, 1}})) {}

Inference::Inference(Network& network, Backend& backend, std::size_t count, const PixelScaling& scaling,
                     const Augmentation& augmentation)
    : network_(network),
      backend_(backend),
      count_(count),
      images_(backend.allocate(count * network.plan().input.image.size(), "the pictures")),
      labels_(backend.allocate(count, "their labels")) {
  const Batching batching{static_cast<std::uint32_t>(count), 0,
                          static_cast<std::uint32_t>(network.plan().input.batch), Order::fixed,
                          LastBatch::mask};
  const StepInput input{images_.as<std::uint8_t>(), labels_.as<std::uint8_t>(), batching, scaling,
                        augmentation};
  step_ = backend.record({{[&network, input] { network.evaluate_step(input); }, 1}});
}

std::vector<float> Inference::run(std::span<const std::uint8_t> images) {
  backend_.upload(images_.data(), images.data(), images.size());
  return run();
}

std::vector<float> Inference::run() {
  const PlanInput& plan = network_.plan().input;
  const auto batch = static_cast<std::size_t>(plan.batch), classes = static_cast<std::size_t>(plan.classes);
  std::vector<float> all;
  network_.write_evaluation_state(StepState{});
  for (std::size_t done = 0; done < count_; done += batch) {
    step_->launch(1);
    backend_.wait();
    const std::vector<float> some = network_.read_logits();
    const std::size_t rows = std::min(batch, count_ - done);
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(rows * classes));
  }
  return all;
}

bool launch_steps(Recording& step, Backend& backend, std::uint64_t steps,
                  const std::function<bool()>& stop_asked) {
  for (std::uint64_t done = 0; done < steps;) {
    while (backend.busy() && !stop_asked()) std::this_thread::sleep_for(kPollInterval);
    if (stop_asked()) return false;
    const std::uint64_t some = std::min(steps - done, backend.repeats_per_launch());
    step.launch(some);
    done += some;
  }
  return true;
}

Evaluation::Evaluation(Network& network, Backend& backend, const StepInput& input)
    : network_(network), backend_(backend) {
  StepInput own = input;
  own.batching =
      part_of(input.batching, backend.part(), static_cast<std::uint32_t>(network.plan().input.batch));
  steps_ = steps_per_epoch(own.batching);
  step_ = backend.record({{[&network, own] { network.evaluate_step(own); }, 1}});
}

std::optional<Evaluation::Result> Evaluation::run(const std::function<bool()>& stop_asked) {
  network_.write_evaluation_state(StepState{});
  const bool done = launch_steps(*step_, backend_, steps_, stop_asked);
  if (!done) backend_.wait();
  const Network::States states = network_.read_states();
  const std::optional<StepState> sums = sums_of_all(states.evaluation, done, backend_.part());
  return sums ? std::optional(Result{score_of(*sums), states.training}) : std::nullopt;
}

std::optional<Score> evaluate(Network& network, Backend& backend, const StepInput& input,
                              const std::function<bool()>& stop_asked) {
  const std::optional<Evaluation::Result> result = Evaluation(network, backend, input).run(stop_asked);
  return result ? std::optional(result->score) : std::nullopt;
}

std::size_t shifted_images(std::size_t images) {
  return asked_again(images) * kShifts.size();
}

double log_sum_exp(std::span<const float> logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float y : logits) sum += std::exp(y - most);
  return most + std::log(sum);
}

void take_log_softmax(std::span<float> logits, std::size_t classes, double weight) {
  for (; !logits.empty(); logits = logits.subspan(classes)) {
    const std::span<float> row = logits.first(classes);
    const double whole = log_sum_exp(row);
    for (float& value : row) value = static_cast<float>(weight * (value - whole));
  }
}

std::vector<float> with_views(std::vector<float> logits, std::span<const std::uint8_t> images,
                              const Shape& image, const LogitsOf& logits_of) {
  if (logits.empty() || !std::ranges::all_of(logits, [](float y) { return std::isfinite(y); })) return logits;
  const std::size_t classes = logits.size() / (images.size() / image.size());
  const std::vector<std::size_t> chosen = least_certain(logits, classes);
  std::vector<std::uint8_t> shifted;
  shifted.reserve(chosen.size() * kShifts.size() * image.size());
  for (const std::size_t n : chosen)
    for (const auto& [down, right] : kShifts)
      append_shifted(images.data() + n * image.size(), image, down, right, shifted);
  std::vector<float> more = logits_of(shifted);
  constexpr double kShare = 1.0 / (kViews + 1);
  take_log_softmax(more, classes, kShare);
  const float* view = more.data();
  for (const std::size_t n : chosen) {
    const std::span<float> row(logits.data() + n * classes, classes);
    take_log_softmax(row, classes, 2 * kShare);
    for (std::size_t v = 0; v < kShifts.size(); ++v)
      for (float& value : row) value += *view++;
  }
  return logits;
}

}  // namespace trainer

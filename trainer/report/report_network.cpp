#include "trainer/report/report_network.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <fmt/format.h>
#include <new>
#include <span>
#include <variant>

#include "kernels/precision.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

constexpr int kBatch = 256;
constexpr std::size_t kMostFilterBytes = 60'000;

// The misclassified images, surest first.
std::vector<std::size_t> by_confidence(const TestAnswers& test, const std::vector<std::uint8_t>& labels) {
  std::vector<std::size_t> wrong;
  for (std::size_t n = 0; n < labels.size(); ++n)
    if (test.predictions[n] != labels[n]) wrong.push_back(n);
  const auto sureness = [&](std::size_t n) {
    return std::isfinite(test.confidences[n]) ? test.confidences[n] : -1.0F;
  };
  std::ranges::stable_sort(wrong, [&](std::size_t a, std::size_t b) { return sureness(a) > sureness(b); });
  return wrong;
}

std::vector<MisclassifiedImage> misclassified_images(const TestAnswers& test, const data::Dataset& dataset,
                                                     std::size_t most_bytes) {
  std::vector<MisclassifiedImage> images;
  std::size_t bytes = 0;
  for (const std::size_t n : by_confidence(test, dataset.test.labels)) {
    if (images.size() == kMostMisclassified) break;
    const std::size_t size = dataset.shape.bytes();
    const std::span<const std::uint8_t> pixels(dataset.test.images.data() + n * size, size);
    MisclassifiedImage image{n, dataset.test.labels[n], test.predictions[n], test.confidences[n],
                             data_uri(shown_image(pixels, dataset.shape))};
    bytes += image.picture.size();
    if (bytes > most_bytes) break;
    images.push_back(std::move(image));
  }
  return images;
}

// The first layer's weights, where they lie over pixels: [out, k, k, c], or [out, h * w * c] over the whole
// image.
ExaminedNetwork::Filters first_filters(const Network& network) {
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena != 0 || tensor.parameter != 0) continue;
    const PlannedOp& op = network.plan().ops[static_cast<std::size_t>(tensor.op)];
    if (std::holds_alternative<BatchNormDesc>(op.desc)) continue;
    const Shape& input = network.plan().input.image;
    const bool conv = tensor.shape.size() == 4;
    if (!conv && tensor.shape.at(1) != input.h * input.w * input.c) return {};
    const data::ImageShape shape =
        conv ? data::ImageShape{tensor.shape.at(1), tensor.shape.at(2), tensor.shape.at(3)}
             : data::ImageShape{input.h, input.w, input.c};
    ExaminedNetwork::Filters filters;
    filters.count = static_cast<std::size_t>(tensor.shape.at(0));
    filters.text = fmt::format("{}: {} filters of {}x{}", op.name, filters.count, shape.height, shape.width);
    filters.coloured = shape.channels == 3;
    std::size_t bytes = 0;
    for (const data::Image& image : weight_pictures(network.read(tensor), shape, kMostFilters)) {
      filters.pictures.push_back(data_uri(image));
      bytes += filters.pictures.back().size();
      if (bytes > kMostFilterBytes) break;
    }
    return filters;
  }
  return {};
}

void test_network(const Environment& environment, const ExaminationWish& wish, const KnownRun& run,
                  TrainedNetwork& trained, ExaminedNetwork& examined) {
  try {
    const data::Dataset dataset = matching_test_data(
        environment, {run.folder.string(), wish.data, wish.skip_bad_images}, trained.saved());
    examined.data_path = dataset.path.string();
    examined.other_data = dataset.fingerprint != trained.saved().fingerprint;
    examined.test = answer_test_set(trained, dataset.test);
    examined.misclassified = misclassified_images(*examined.test, dataset, wish.most_picture_bytes);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    examined.test.reset();
    examined.test_problem = error.what();
  }
}

}  // namespace

ExaminedNetwork examine_network(const Environment& environment, const KnownRun& run,
                                const ExaminationWish& wish) {
  ExaminedNetwork examined;
  try {
    TrainedNetwork trained(environment, run.folder.string(),
                           {.device = wish.device, .threads = wish.threads, .plan_cache = environment.cache},
                           kBatch);
    examined.conditions = fmt::format("on the {} in {}", trained.device().backend->info().gpu ? "GPU" : "CPU",
                                      precision_name(trained.device().precision));
    for (int c = 0; c < trained.saved().classes; ++c) examined.label_names.push_back(trained.label_name(c));
    examined.filters = first_filters(trained.network());
    test_network(environment, wish, run, trained, examined);
  } catch (const FileError& error) {
    examined = {};
    examined.problem = error.what();
  } catch (const SpecError& error) {
    examined = {};
    examined.problem = error.what();
  } catch (const BackendError& error) {
    if (wish.device != "auto") throw;
    examined = {};
    examined.problem = error.what();
  }
  return examined;
}

std::vector<ConfusedPair> confused_pairs(const TestAnswers& test, std::size_t most) {
  std::vector<ConfusedPair> pairs;
  for (int label = 0; label < test.classes; ++label) {
    for (int prediction = 0; prediction < test.classes; ++prediction) {
      const std::uint64_t images = test.at(label, prediction);
      if (label != prediction && images > 0) pairs.push_back({label, prediction, images});
    }
  }
  std::ranges::stable_sort(pairs,
                           [](const ConfusedPair& a, const ConfusedPair& b) { return a.images > b.images; });
  if (pairs.size() > most) pairs.resize(most);
  return pairs;
}

}  // namespace trainer

#include "trainer/report/report_network.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <fmt/format.h>
#include <new>
#include <span>
#include <string_view>
#include <variant>

#include "data/png.hpp"
#include "kernels/precision.hpp"
#include "trainer/infer/resample.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace {

std::uint8_t byte_of(float value) {
  return value > 0 ? static_cast<std::uint8_t>(std::lround(std::min(value, 255.0F))) : std::uint8_t{0};
}

Plane plane_of(std::span<const std::uint8_t> pixels, const data::ImageShape& shape, int channel) {
  Plane plane{shape.height, shape.width, {}};
  for (auto at = static_cast<std::size_t>(channel); at < pixels.size();
       at += static_cast<std::size_t>(shape.channels))
    plane.values.push_back(pixels[at]);
  return plane;
}

// Height and width with the longer one at most kLargestShownEdge.
data::ImageShape shown_shape(const data::ImageShape& shape) {
  const int longest = std::max(shape.height, shape.width);
  const int channels = shape.channels >= 3 ? 3 : 1;
  if (longest <= kLargestShownEdge) return {shape.height, shape.width, channels};
  const auto shrunk = [&](int edge) { return std::max(1, edge * kLargestShownEdge / longest); };
  return {shrunk(shape.height), shrunk(shape.width), channels};
}

Plane resized(const Plane& plane, const data::ImageShape& shape) {
  if (plane.height == shape.height && plane.width == shape.width) return plane;
  const PictureWindow all{0, 0, static_cast<double>(plane.height), static_cast<double>(plane.width)};
  return resample(plane, all, shape.height, shape.width, Outside::kNearestEdge);
}

using Colour = std::array<float, 3>;

// -1 blue, 0 white, 1 orange: told apart by colour-blind eyes, and light where there is little.
Colour diverging(float value) {
  constexpr Colour kNegative{0, 90, 181}, kNone{255, 255, 255}, kPositive{213, 94, 0};
  const Colour& end = value < 0 ? kNegative : kPositive;
  const float amount = std::min(std::abs(value), 1.0F);
  Colour colour{};
  for (std::size_t i = 0; i < 3; ++i) colour[i] = kNone[i] + amount * (end[i] - kNone[i]);
  return colour;
}

// Of one pixel of a filter, its channels.
Colour weight_colour(std::span<const float> channels) {
  if (channels.size() == 3) {
    Colour colour{};
    for (std::size_t i = 0; i < 3; ++i) colour[i] = 127.5F + 127.5F * channels[i];
    return colour;
  }
  float sum = 0;
  for (const float value : channels) sum += value;
  return diverging(sum);
}

// What a picture's strongest pixel shows, over all of them.
float largest_shown(const std::vector<float>& weights, std::size_t channels) {
  float largest = 0;
  for (std::size_t at = 0; at + channels <= weights.size(); at += channels) {
    float sum = 0;
    for (std::size_t i = 0; i < channels; ++i) {
      sum += weights[at + i];
      if (channels == 3) largest = std::max(largest, std::abs(weights[at + i]));
    }
    if (channels != 3) largest = std::max(largest, std::abs(sum));
  }
  return largest > 0 && std::isfinite(largest) ? largest : 1;
}

// RFC 4648.
std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t here = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < here ? bytes[at + i] : 0U);
    for (std::size_t i = 0; i < 4; ++i) text += i <= here ? kDigits[bits >> (18 - 6 * i) & 63U] : '=';
  }
  return text;
}

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

void test_network(const Environment& environment, const InferenceOptions& options,
                  std::size_t most_picture_bytes, TrainedNetwork& trained, ExaminedNetwork& examined) {
  try {
    const data::Dataset dataset = matching_test_data(environment, options, trained.saved());
    examined.data_path = dataset.path.string();
    examined.other_data = dataset.fingerprint != trained.saved().fingerprint;
    examined.test = answer_test_set(trained, dataset.test);
    examined.misclassified = misclassified_images(*examined.test, dataset, most_picture_bytes);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    examined.test.reset();
    examined.test_problem = error.what();
  }
}

}  // namespace

ExaminedNetwork examine_network(const Environment& environment, const KnownRun& run, InferenceOptions options,
                                std::size_t most_picture_bytes) {
  options.run = run.folder.string();
  ExaminedNetwork examined;
  try {
    TrainedNetwork trained(environment, options, kBatch);
    examined.conditions = fmt::format("on the {} in {}", trained.device_name(), trained.precision());
    for (int c = 0; c < trained.saved().classes; ++c) examined.label_names.push_back(trained.label_name(c));
    examined.filters = first_filters(trained.network());
    test_network(environment, options, most_picture_bytes, trained, examined);
  } catch (const FileError& error) {
    examined = {};
    examined.problem = error.what();
  } catch (const SpecError& error) {
    examined = {};
    examined.problem = error.what();
  } catch (const BackendError& error) {
    if (options.device.device != "auto") throw;
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

std::string data_uri(const data::Image& image) {
  return "data:image/png;base64," + base64(data::png_file(image));
}

data::Image shown_image(std::span<const std::uint8_t> pixels, const data::ImageShape& shape) {
  const data::ImageShape shown = shown_shape(shape);
  data::Image image{shown.height, shown.width, shown.channels, {}};
  image.pixels.resize(shown.bytes());
  for (int channel = 0; channel < shown.channels; ++channel) {
    const Plane plane = resized(plane_of(pixels, shape, channel), shown);
    for (std::size_t i = 0; i < plane.values.size(); ++i)
      image.pixels[i * static_cast<std::size_t>(shown.channels) + static_cast<std::size_t>(channel)] =
          byte_of(plane.values[i]);
  }
  return image;
}

std::vector<data::Image> weight_pictures(const std::vector<float>& weights, const data::ImageShape& shape,
                                         std::size_t most) {
  const auto channels = static_cast<std::size_t>(shape.channels);
  const std::size_t size = shape.bytes();
  const float largest = largest_shown(weights, channels);
  std::vector<data::Image> pictures;
  for (std::size_t at = 0; at + size <= weights.size() && pictures.size() < most; at += size) {
    data::Image picture{shape.height, shape.width, 3, {}};
    for (std::size_t pixel = 0; pixel < size; pixel += channels) {
      std::vector<float> values(weights.begin() + static_cast<std::ptrdiff_t>(at + pixel),
                                weights.begin() + static_cast<std::ptrdiff_t>(at + pixel + channels));
      for (float& value : values) value /= largest;
      for (const float part : weight_colour(values)) picture.pixels.push_back(byte_of(part));
    }
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

}  // namespace trainer

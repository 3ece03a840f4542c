// The pictures of a network, and of a data set.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <variant>

#include "trainer/report/report_network.hpp"
#include "trainer/system/errors.hpp"

namespace trainer {

namespace {

constexpr std::size_t kMostOnSheet = 50;

std::uint8_t byte_of(float value) {
  return value > 0 ? static_cast<std::uint8_t>(std::lround(std::min(value, 255.0F))) : std::uint8_t{0};
}

using Colour = std::array<std::uint8_t, 3>;

// -1 is blue, 0 white, 1 orange: colour-blind readers can tell these apart, and small values are light.
Colour diverging(float value) {
  constexpr std::array<float, 3> kNegative{0, 90, 181}, kPositive{213, 94, 0};
  Colour colour{};
  for (std::size_t i = 0; i < colour.size(); ++i) {
    const float most = value < 0 ? kNegative.at(i) : kPositive.at(i);
    colour.at(i) = byte_of(255 + std::min(std::abs(value), 1.0F) * (most - 255));
  }
  return colour;
}

// White paper to draw on, in pixels from the top left.
class Sheet {
 public:
  Sheet(int height, int width)
      : image_{height, width, 3, std::vector<std::uint8_t>(std::size_t{3} * height * width, 255)} {}

  // What lies beyond the edges is left out.
  void fill(int y, int x, int height, int width, const Colour& colour) {
    for (int row = std::max(y, 0); row < std::min(y + height, image_.height); ++row)
      for (int column = std::max(x, 0); column < std::min(x + width, image_.width); ++column)
        std::ranges::copy(colour, image_.pixels.begin() + 3 * (std::ptrdiff_t{row} * image_.width + column));
  }

  // Each pixel of a grey or RGB image as a square.
  void paste(int y, int x, const data::Image& image, int scale) {
    for (int row = 0; row < image.height; ++row)
      for (int column = 0; column < image.width; ++column) {
        const auto* pixel = &image.pixels[(std::size_t{1} * row * image.width + column) * image.channels];
        const int rgb = image.channels == 3 ? 1 : 0;
        fill(y + row * scale, x + column * scale, scale, scale, {pixel[0], pixel[rgb], pixel[2 * rgb]});
      }
  }

  // Ten pixels high, its middle at x.
  void number(int y, int x, std::uint64_t value, const Colour& colour) {
    // Each digit has 3x5 squares, row by row, the first one in the highest bit.
    constexpr std::array<std::uint16_t, 10> kDigits{0x7B6F, 0x2C97, 0x73E7, 0x73CF, 0x5BC9,
                                                    0x79CF, 0x79EF, 0x7249, 0x7BEF, 0x7BCF};
    const std::string text = std::to_string(value);
    x -= 4 * static_cast<int>(text.size()) - 1;
    for (const char digit : text) {
      for (int square = 0; square < 15; ++square)
        if (((kDigits.at(static_cast<std::size_t>(digit - '0')) >> (14 - square)) & 1) != 0)
          fill(y + square / 3 * 2, x + square % 3 * 2, 2, 2, colour);
      x += 8;
    }
  }

  [[nodiscard]] const data::Image& image() const { return image_; }

 private:
  data::Image image_;
};

constexpr int kGap = 8;

// The images, all of one size, in rows of ten, with a caption below each: `write` gets the middle of its upper edge.
Sheet sheet_of(const std::vector<data::Image>& images, int caption,
               const std::function<void(Sheet&, std::size_t, int y, int x)>& write = nullptr) {
  const int height = images.front().height, width = images.front().width;
  const int scale = std::max(1, 56 / std::max(height, width));
  const int down = height * scale + caption + kGap, right = std::max(width * scale, 48) + kGap;
  const int count = static_cast<int>(images.size()), columns = std::min(count, 10);
  Sheet sheet((count + columns - 1) / columns * down + kGap, columns * right + kGap);
  for (int i = 0; i < count; ++i) {
    const int y = kGap + i / columns * down, x = kGap + i % columns * right;
    const auto index = static_cast<std::size_t>(i);
    sheet.paste(y, x, images[index], scale);
    if (write) write(sheet, index, y + height * scale, x + width * scale / 2);
  }
  return sheet;
}

data::Image misclassified_sheet(const std::vector<std::size_t>& wrong, const TestAnswers& test,
                                const data::Dataset& dataset) {
  std::vector<data::Image> images;
  images.reserve(wrong.size());
  const std::size_t size = dataset.shape.size();
  for (const std::size_t n : wrong)
    images.push_back(shown_image(std::span(dataset.test.images).subspan(n * size, size), dataset.shape));
  const auto write = [&](Sheet& sheet, std::size_t i, int y, int x) {
    sheet.number(y + 4, x - 14, dataset.test.labels[wrong[i]], diverging(-1));
    sheet.number(y + 4, x + 14, test.predictions[wrong[i]], diverging(1));
  };
  return sheet_of(images, 16, write).image();
}

// Rows are labels, columns predictions. Correct answers are blue by their fraction of the label, errors orange by the root of their
// fraction of the largest error, as on the report's page. The cells of many classes are too small for numbers.
data::Image confusion_sheet(const TestAnswers& test) {
  constexpr int kMostNumbered = 20;
  const int cell = test.classes <= kMostNumbered ? 36 : 8;
  Sheet sheet(cell * (test.classes + 1), cell * (test.classes + 1));
  const auto number = [&](int row, int column, std::uint64_t value, const Colour& colour) {
    if (test.classes <= kMostNumbered) sheet.number(row * cell + 13, column * cell + cell / 2, value, colour);
  };
  const std::vector<ConfusedPair> errors = confused_pairs(test, 1);
  for (int label = 0; label < test.classes; ++label) {
    number(label + 1, 0, static_cast<std::uint64_t>(label), {});
    number(0, label + 1, static_cast<std::uint64_t>(label), {});
    for (int prediction = 0; prediction < test.classes; ++prediction) {
      const std::uint64_t images = test.at(label, prediction);
      if (images == 0) continue;
      const bool hit = label == prediction;
      const double amount =
          hit ? fraction(images, test.labelled(label)) : std::sqrt(fraction(images, errors.front().images));
      sheet.fill((label + 1) * cell, (prediction + 1) * cell, cell - 1, cell - 1,
                 diverging(static_cast<float>(hit ? -amount : amount)));
      number(label + 1, prediction + 1, images, hit && amount > 0.5 ? Colour{255, 255, 255} : Colour{});
    }
  }
  return sheet.image();
}

constexpr int kPicturesInRow = 10;

// Image `number` as an epoch of training shows it.
data::Image changed_image(const data::Dataset& data, const Augmentation& augmentation, std::uint64_t seed,
                          std::uint64_t epoch, std::size_t number) {
  const Shape& shape = data.shape;
  const std::uint8_t* pixels = data.train.images.data() + number * shape.size();
  const Transformation t =
      transformation_of(augmentation, shape, seed, epoch, static_cast<std::uint32_t>(number));
  std::vector<std::uint8_t> changed;
  changed.reserve(shape.size());
  for (int y = 0; y < shape.h; ++y)
    for (int x = 0; x < shape.w; ++x)
      for (int c = 0; c < shape.c; ++c)
        changed.push_back(static_cast<std::uint8_t>(std::lround(pixel_of(t, pixels, shape, y, x, c))));
  return shown_image(changed, shape);
}

}  // namespace

data::Image shown_image(std::span<const std::uint8_t> pixels, const Shape& shape) {
  const int longest = std::max({shape.h, shape.w, kLargestShownEdge});
  const auto shrunk = [&](int size) { return std::max(1, size * kLargestShownEdge / longest); };
  data::Image image{shrunk(shape.h), shrunk(shape.w), shape.c >= 3 ? 3 : 1, {}};
  const auto mean = [&](int y, int x, int channel) {  // over the pixels that become this one
    const int bottom = (y + 1) * shape.h / image.height, right = (x + 1) * shape.w / image.width;
    std::size_t sum = 0, count = 0;
    for (int row = y * shape.h / image.height; row < bottom; ++row) {
      for (int column = x * shape.w / image.width; column < right; ++column, ++count)
        sum += pixels[(static_cast<std::size_t>(row) * shape.w + column) * shape.c + channel];
    }
    return static_cast<std::uint8_t>((sum + count / 2) / count);
  };
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      for (int channel = 0; channel < image.channels; ++channel) image.pixels.push_back(mean(y, x, channel));
  return image;
}

std::vector<data::Image> weight_pictures(std::span<const float> weights, const Shape& shape,
                                         std::size_t most) {
  const auto channels = static_cast<std::size_t>(shape.c);
  const bool coloured = channels == 3;
  std::vector<float> drawn;  // the three channels of each pixel, or the sum of its channels
  for (std::size_t at = 0; at + channels <= weights.size(); at += channels) {
    const std::span<const float> pixel = weights.subspan(at, channels);
    if (coloured) drawn.insert(drawn.end(), pixel.begin(), pixel.end());
    if (!coloured) drawn.push_back(std::accumulate(pixel.begin(), pixel.end(), 0.0F));
  }
  float largest = 0;
  for (const float value : drawn) largest = std::max(largest, std::abs(value));
  if (!(largest > 0) || !std::isfinite(largest)) largest = 1;
  const std::size_t size = shape.size() / (coloured ? 1 : channels);
  std::vector<data::Image> pictures;
  for (std::size_t at = 0; at + size <= drawn.size() && pictures.size() < most; at += size) {
    data::Image& picture = pictures.emplace_back(data::Image{shape.h, shape.w, 3, {}});
    for (const float value : std::span(drawn).subspan(at, size)) {
      if (coloured) picture.pixels.push_back(byte_of(127.5F + 127.5F * value / largest));
      if (coloured) continue;
      for (const std::uint8_t part : diverging(value / largest)) picture.pixels.push_back(part);
    }
  }
  return pictures;
}

std::optional<FirstFilters> first_filters(const Network& network, std::size_t most) {
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena != 0 || tensor.parameter != 0) continue;
    const PlannedOp& op = network.plan().ops[static_cast<std::size_t>(tensor.op)];
    if (std::holds_alternative<BatchNormDesc>(op.desc)) continue;
    const Shape& input = network.plan().input.image;
    const bool conv = tensor.shape.size() == 4;
    if (!conv && tensor.shape.at(1) != input.h * input.w * input.c) return std::nullopt;
    const Shape shape = conv ? Shape{tensor.shape.at(1), tensor.shape.at(2), tensor.shape.at(3)}
                             : Shape{input.h, input.w, input.c};
    return FirstFilters{op.name, static_cast<std::size_t>(tensor.shape.at(0)), shape,
                        weight_pictures(network.read(tensor), shape, most)};
  }
  return std::nullopt;
}

// The misclassified images, the most confident first.
std::vector<std::size_t> by_confidence(const TestAnswers& test, const std::vector<std::uint8_t>& labels) {
  std::vector<std::size_t> wrong;
  for (std::size_t n = 0; n < labels.size(); ++n)
    if (test.predictions[n] != labels[n]) wrong.push_back(n);
  const auto confidence = [&](std::size_t n) {
    return std::isfinite(test.confidences[n]) ? test.confidences[n] : -1.0F;
  };
  std::ranges::stable_sort(wrong, std::greater(), confidence);
  return wrong;
}

std::string add_network(RunEvents& events, const Environment& environment, const InferenceOptions& options,
                        bool with_weights) {
  constexpr int kBatch = 256;
  Event pictures = events.event();
  std::string missing;
  try {
    TrainedNetwork trained(environment, options, kBatch);
    if (with_weights) events.add_weights(trained.network());
    const std::optional<FirstFilters> filters = first_filters(trained.network(), kMostOnSheet);
    if (filters && std::max(filters->shape.h, filters->shape.w) <= kLargestShownEdge)
      pictures.image("pictures/first_filters", sheet_of(filters->pictures, 0).image());
    const data::Dataset dataset = matching_test_data(environment, options, trained.saved());
    const TestAnswers test = answer_test_set(trained, dataset.test);
    pictures.image("pictures/confusion_matrix (a row for each label)", confusion_sheet(test));
    std::vector<std::size_t> wrong = by_confidence(test, dataset.test.labels);
    wrong.resize(std::min(wrong.size(), kMostOnSheet));
    if (!wrong.empty())
      pictures.image("pictures/misclassified (label, prediction)", misclassified_sheet(wrong, test, dataset));
  } catch (const UsageError&) {
    throw;
  } catch (const std::runtime_error& error) {
    missing = error.what();
  }
  events.write(pictures);
  return missing;
}

data::Image data_sheet(const data::Dataset& data, const Augmentation& augmentation, std::uint64_t seed,
                       std::size_t most_rows) {
  std::vector<data::Image> pictures;
  const auto labels = static_cast<std::size_t>(data.classes);
  for (std::size_t label = 0; label < labels && pictures.size() < most_rows * kPicturesInRow; ++label) {
    std::vector<std::size_t> images;
    for (std::size_t i = 0; i < data.train.count() && images.size() < kPicturesInRow; ++i)
      if (data.train.labels[i] == label) images.push_back(i);
    if (images.empty()) continue;
    for (std::size_t column = 0; column < kPicturesInRow; ++column) {
      const std::size_t image = augmentation.any() ? images[0] : images[std::min(column, images.size() - 1)];
      pictures.push_back(
          changed_image(data, column == 0 ? Augmentation{} : augmentation, seed, column, image));
    }
  }
  return sheet_of(pictures, 0).image();
}

}  // namespace trainer

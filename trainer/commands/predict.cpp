// trainer predict: what a trained network sees in pictures of any size and colour.
#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "data/digit_form.hpp"
#include "data/image.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/infer/digit.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"

namespace trainer {

namespace {

struct PredictArguments : InferenceOptions {
  std::vector<std::string> pictures;
  std::string fit = "auto";
  bool json = false;
};

struct Guess {
  std::string picture;
  std::string error;  // instead of a guess
  int label = 0;
  float confidence = 0;
  int second = 0;
  float second_confidence = 0;
};

// Whether pictures become digits as MNIST's makers framed them, as the training images were, unless --fit says otherwise.
bool fits_digits(const PredictArguments& arguments, const SavedNetwork& saved) {
  const std::string& fit = arguments.fit == "auto" ? saved.fit : arguments.fit;
  if (fit.empty())
    throw UsageError(
        "--fit: this network's file does not say what its training images are like; give digit if they are "
        "framed as MNIST's (one light digit on black, centred), else picture");
  if (fit == "digit" && saved.image.c != 1)
    throw UsageError("--fit digit: this network takes colour pictures; use --fit picture");
  return fit == "digit";
}

// An image of the data set comes out as training read it.
std::vector<std::uint8_t> fitted(const std::string& picture, const Shape& shape, bool as_digit) {
  if (!as_digit) return fit_picture(data::read_image(picture, shape.c, data::kAnySide), shape);
  const data::Image image = data::read_image(picture, 1, data::kAnySide);
  const bool framed =
      image.height == shape.h && image.width == shape.w && data::have_digit_form(image.pixels, shape);
  return framed ? image.pixels : fit_digit(image, shape.h, shape.w);
}

// Fits every readable picture and concatenates the results; an unreadable one gets its error instead.
std::vector<std::uint8_t> fit_all(const PredictArguments& arguments, const SavedNetwork& saved,
                                  std::vector<Guess>& guesses) {
  const bool as_digit = fits_digits(arguments, saved);
  std::vector<std::uint8_t> images;
  for (const std::string& picture : arguments.pictures) {
    Guess guess;
    guess.picture = picture;
    try {
      const std::vector<std::uint8_t> image = fitted(picture, saved.image, as_digit);
      images.insert(images.end(), image.begin(), image.end());
    } catch (const data::DataError& error) {
      guess.error = error.what();
    } catch (const PictureError& error) {
      guess.error = picture + ": " + error.what();
    }
    guesses.push_back(guess);
  }
  return images;
}

void take_guess(const float* row, int classes, Guess& guess) {
  for (int c = 1; c < classes; ++c) {
    if (row[c] > row[guess.label]) guess.label = c;
  }
  guess.second = guess.label == 0 ? 1 : 0;
  for (int c = 0; c < classes; ++c) {
    if (c != guess.label && row[c] > row[guess.second]) guess.second = c;
  }
  guess.confidence = row[guess.label];
  guess.second_confidence = row[guess.second];
}

void print_guesses(const std::vector<Guess>& guesses, const TrainedNetwork& trained) {
  for (const Guess& guess : guesses) {
    if (!guess.error.empty()) {
      fmt::print(stderr, "error: {}\n", guess.error);
      continue;
    }
    fmt::print("{}: {}  {:.2f} %  (then {}, {:.2f} %)\n", guess.picture, trained.label_name(guess.label),
               100 * guess.confidence, trained.label_name(guess.second), 100 * guess.second_confidence);
  }
}

void print_json(const std::vector<Guess>& guesses, const TrainedNetwork& trained) {
  auto json = nlohmann::ordered_json::array();
  for (const Guess& guess : guesses) {
    if (!guess.error.empty()) {
      json.push_back({{"picture", guess.picture}, {"error", guess.error}});
      continue;
    }
    json.push_back({{"picture", guess.picture},
                    {"label", trained.label_name(guess.label)},
                    {"confidence", guess.confidence},
                    {"second_label", trained.label_name(guess.second)},
                    {"second_confidence", guess.second_confidence}});
  }
  fmt::print("{}\n", to_text(json, 2));
}

// Returns 1 if any picture could not be read; the others are answered all the same.
int predict(const Environment& environment, const PredictArguments& arguments) {
  const auto batch = static_cast<int>(std::min<std::size_t>(arguments.pictures.size(), 256));
  TrainedNetwork trained(environment, arguments, batch);
  std::vector<Guess> guesses;
  const std::vector<std::uint8_t> images = fit_all(arguments, trained.saved(), guesses);
  const std::vector<float> probabilities =
      images.empty() ? std::vector<float>() : trained.probabilities(images);
  const float* row = probabilities.data();
  bool all_read = true;
  for (Guess& guess : guesses) {
    all_read = all_read && guess.error.empty();
    if (!guess.error.empty()) continue;
    take_guess(row, trained.saved().classes, guess);
    row += trained.saved().classes;
  }
  arguments.json ? print_json(guesses, trained) : print_guesses(guesses, trained);
  return all_read ? 0 : 1;
}

void declare_predict(CLI::App& app, PredictArguments& arguments) {
  add_trained_network(app, arguments);
  app.add_option("IMAGE", arguments.pictures, "PNG, JPEG or BMP files")->required();
  app.add_option("--fit", arguments.fit,
                 "digit: find the ink and centre it as MNIST was made; picture: only resize; auto: what the "
                 "network's training images were")
      ->check(CLI::IsMember({"auto", "digit", "picture"}))
      ->capture_default_str();
  add_json(app, arguments.json);
}

}  // namespace

Command add_predict(CLI::App& app, const Environment& environment) {
  return add_command(app, environment, "predict", "tell what is in pictures", declare_predict, predict);
}

}  // namespace trainer

// trainer predict: what a trained network sees in pictures of any size and colour.
#include <algorithm>
#include <fmt/ranges.h>

#include "data/image.hpp"
#include "models/words.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/infer/digit.hpp"

namespace trainer {

namespace {

struct Guess {
  FittedDigit digit;
  int label = 0;
  float confidence = 0;
  int second = 0;
  float second_confidence = 0;
};

// Whether pictures become digits as MNIST's makers framed them, as the training images were, unless --fit says otherwise.
bool fits_digits(const PredictOptions& arguments, const SavedNetwork& saved) {
  const std::string& fit = arguments.fit == "auto" ? saved.fit : arguments.fit;
  if (fit.empty())
    throw UsageError(
        "--fit: this network's file does not say what its training images are like; give digit if they are "
        "framed as MNIST's (one light digit on black, centred), else picture");
  if (fit == "digit" && saved.image.c != 1)
    throw UsageError("--fit digit: this network takes colour pictures; use --fit picture");
  return fit == "digit";
}

struct Answer {
  std::string picture;
  std::string error;           // instead of guesses
  std::vector<Guess> guesses;  // one for each digit, in reading order
};

// An image of the data set comes out as training read it.
std::vector<FittedDigit> fitted(const std::string& picture, const Shape& shape, bool as_digit) {
  const data::Image image = data::read_image(picture, as_digit ? 1 : shape.c, data::kAnySide);
  if (!as_digit) return {{0, 0, image.width, image.height, fit_picture(image, shape)}};
  const bool framed =
      image.height == shape.h && image.width == shape.w && data::have_digit_form(image.pixels, shape);
  if (framed) return {{0, 0, image.width, image.height, image.pixels}};
  return fit_digits(image, shape.h, shape.w);
}

// Fits every readable picture; an unreadable one gets its error instead.
std::vector<Answer> fit_all(const PredictOptions& arguments, const SavedNetwork& saved) {
  const bool as_digit = fits_digits(arguments, saved);
  std::vector<Answer> answers;
  for (const std::string& picture : arguments.pictures) {
    Answer answer{picture, {}, {}};
    try {
      for (FittedDigit& digit : fitted(picture, saved.image, as_digit))
        answer.guesses.push_back({std::move(digit)});
    } catch (const data::DataError& error) {
      answer.error = error.what();
    } catch (const PictureError& error) {
      answer.error = picture + ": " + error.what();
    }
    answers.push_back(std::move(answer));
  }
  return answers;
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

void take_guesses(TrainedNetwork& trained, std::vector<Answer>& answers) {
  std::vector<std::uint8_t> images;
  for (const Answer& answer : answers)
    for (const Guess& guess : answer.guesses)
      images.insert(images.end(), guess.digit.image.begin(), guess.digit.image.end());
  if (images.empty()) return;
  const std::vector<float> probabilities = trained.probabilities(images);
  const float* row = probabilities.data();
  for (Answer& answer : answers)
    for (Guess& guess : answer.guesses) {
      take_guess(row, trained.saved().classes, guess);
      row += trained.saved().classes;
    }
}

void print_answers(const std::vector<Answer>& answers, const TrainedNetwork& trained) {
  for (const Answer& answer : answers) {
    if (!answer.error.empty()) {
      fmt::print(stderr, "error: {}\n", printable(answer.error));
      continue;
    }
    const std::string picture = printable(answer.picture);
    const Guess& first = answer.guesses.front();
    if (answer.guesses.size() == 1) {
      fmt::print("{}: {}  {:.2f} %  (then {}, {:.2f} %)\n", picture, trained.label_name(first.label),
                 100 * first.confidence, trained.label_name(first.second), 100 * first.second_confidence);
      continue;
    }
    std::vector<std::string> labels, claims;
    for (const Guess& guess : answer.guesses) {
      labels.push_back(trained.label_name(guess.label));
      claims.push_back(fmt::format("{:.2f} %", 100 * guess.confidence));
    }
    fmt::print("{}: {}  (several digits: {})\n", picture, fmt::join(labels, " "), fmt::join(claims, ", "));
  }
}

ordered_json json_of(const Answer& answer, const TrainedNetwork& trained) {
  if (!answer.error.empty()) return {{"picture", answer.picture}, {"error", answer.error}};
  ordered_json json = {{"picture", answer.picture}};
  if (answer.guesses.size() == 1) {
    const Guess& guess = answer.guesses.front();
    json["label"] = trained.label_name(guess.label);
    json["confidence"] = guess.confidence;
    json["second_label"] = trained.label_name(guess.second);
    json["second_confidence"] = guess.second_confidence;
  }
  for (const Guess& guess : answer.guesses) {
    const FittedDigit& digit = guess.digit;
    json["digits"].push_back({{"box", {digit.x, digit.y, digit.width, digit.height}},
                              {"label", trained.label_name(guess.label)},
                              {"probability", guess.confidence}});
  }
  return json;
}

}  // namespace

// Returns 1 if any picture could not be read; the others are answered all the same.
int predict(const Environment& environment, const PredictOptions& arguments) {
  // How many digits the pictures hold is known later, by the form that the network's file names: one may hold many.
  const auto batch = static_cast<int>(std::clamp<std::size_t>(arguments.pictures.size(), 16, 256));
  TrainedNetwork trained(environment, arguments, batch);
  std::vector<Answer> answers = fit_all(arguments, trained.saved());
  take_guesses(trained, answers);
  if (arguments.json) {
    auto json = ordered_json::array();
    for (const Answer& answer : answers) json.push_back(json_of(answer, trained));
    print_json(json);
  } else {
    print_answers(answers, trained);
  }
  return std::ranges::all_of(answers, [](const Answer& answer) { return answer.error.empty(); }) ? 0 : 1;
}

CLI::Option* add_fit(CLI::App& app, std::string& fit) {
  return app
      .add_option("--fit", fit,
                  "digit: find the ink and centre it as MNIST was made; picture: only resize; auto: what the "
                  "network's training images were")
      ->check(CLI::IsMember({"auto", "digit", "picture"}));
}

static void declare_predict(CLI::App& app, PredictOptions& arguments) {
  add_run_or_file(app, arguments.run);
  add_inference(app, arguments);
  app.add_option("IMAGE", arguments.pictures, "PNG, JPEG or BMP files")->required();
  add_fit(app, arguments.fit);
  add_json(app, arguments.json);
}

const Command kPredict{"predict", "tell what is in pictures", declared<declare_predict, predict>};

}  // namespace trainer

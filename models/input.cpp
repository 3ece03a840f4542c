// The recipe's `input`: how pixels become the numbers that a network sees, and how images are changed in training.
#include <cmath>
#include <fmt/format.h>

#include "models/recipe.hpp"

namespace trainer {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kLongestSide = 1 << 16;

const Settings<Augmentation>& elastic_settings() {
  static const Settings<Augmentation> settings{
      required(setting("grid", &Augmentation::grid, WholeRange{2, kMostNodes})),
      required(setting("amount", &Augmentation::elastic, NumberRange{0, kLongestSide}))};
  return settings;
}

// A setting that the JSON leaves out if it is the default.
template <typename Member, typename Range>
Setting<Augmentation> limit(const char* key, Member Augmentation::*member, Range range) {
  Setting<Augmentation> row = setting(key, member, range);
  row.json = [member, whole = row.json](const Augmentation& a) {
    return a.*member == Augmentation().*member ? Json() : whole(a);
  };
  return row;
}

const Settings<Augmentation>& augmentation_settings() {
  static const NumberRange kShare{.low = 0, .high = 1, .open_low = true};
  static const Settings<Augmentation> settings{
      limit("shift", &Augmentation::shift, WholeRange{0, kLongestSide}),
      limit("crop", &Augmentation::crop, WholeRange{1, kLongestSide}),
      limit("rotate", &Augmentation::rotate, NumberRange{0, 180}),
      limit("zoom", &Augmentation::zoom, kFraction),
      limit("shear", &Augmentation::shear, NumberRange{0, 60}),
      {"elastic",
       [](const MapReader& map, Augmentation& to) {
         const MapReader own(map.require("elastic"), "elastic", keys_of(elastic_settings()));
         read_settings(own, elastic_settings(), to);
       },
       [](const Augmentation& a) { return a.elastic > 0 ? settings_json(elastic_settings(), a) : Json(); }},
      limit("erase", &Augmentation::erase, kFraction),
      limit("share", &Augmentation::share, kShare)};
  return settings;
}

std::string scaling_text(const InputScaling& input) {
  if (input.from_data) return "(pixel / 255 - mean) / deviation, both of the training images";
  if (input.by_image) return "(pixel - mean) / deviation, both of each image";
  const double divisor = 1 / input.scale;
  const bool whole = std::abs(divisor - std::round(divisor)) < 1e-9 * divisor;
  std::string text =
      whole ? fmt::format("pixel / {:.0f}", divisor) : fmt::format("pixel * {}", number_text(input.scale));
  if (input.mean != 0)
    text += fmt::format(" {} {}", input.mean > 0 ? '-' : '+', number_text(std::abs(input.mean)));
  if (input.deviation == 1) return text;
  if (input.mean != 0) text = fmt::format("({})", text);
  return fmt::format("{} / {}", text, number_text(input.deviation));
}

}  // namespace

InputScaling read_input(const YamlNode& node) {
  const MapReader map(node, "input", {"scale", "mean", "deviation", "normalize", "crop", "augment"});
  InputScaling input;
  if (const YamlNode* normalize = map.find("normalize")) {
    static const Words words{"data", "image"};
    const std::size_t word = read_word(*normalize, map.name_of("normalize"), words);
    if (map.find("scale") != nullptr || map.find("mean") != nullptr || map.find("deviation") != nullptr) {
      fail(
          normalize->place,
          fmt::format("input: `normalize: {}` stands without scale, mean and deviation, which follow from it",
                      words[word]));
    }
    (word == 0 ? input.from_data : input.by_image) = true;
  }
  map.read("scale", input.scale, kPositive);
  map.read("mean", input.mean, {-1e6, 1e6});
  map.read("deviation", input.deviation, kPositive);
  map.read("crop", input.crop, {1, kLongestSide});
  if (const YamlNode* augment = map.find("augment")) {
    const MapReader own(*augment, "augment", keys_of(augmentation_settings()));
    read_settings(own, augmentation_settings(), input.augmentation);
    if (!input.augmentation.any())
      fail(augment->place,
           "augment: nothing is changed; give one of " + joined(keys_of(augmentation_settings())));
  }
  return input;
}

Json to_json(const InputScaling& input) {
  Json json = input.from_data || input.by_image
                  ? Json{{"normalize", input.by_image ? "image" : "data"}}
                  : Json{{"scale", input.scale}, {"mean", input.mean}, {"deviation", input.deviation}};
  if (input.crop > 0) json["crop"] = input.crop;
  if (input.augmentation.any()) json["augment"] = settings_json(augmentation_settings(), input.augmentation);
  return json;
}

std::string input_text(const InputScaling& input) {
  return scaling_text(input) + (input.crop > 0 ? fmt::format(", the centre {0}x{0}", input.crop) : "");
}

void check_augmentation(const Spec& spec, const Shape& image) {
  const Augmentation& a = spec.recipe.input.augmentation;
  const int side = std::min(image.h, image.w);
  const auto refuse = [&](const char* key, int value, const char* what) {
    throw SpecError(fmt::format("{}: `augment: {{{}: {}}}` is {} the {}x{} images", spec.name, key, value,
                                what, image.h, image.w));
  };
  if (a.crop > side) refuse("crop", a.crop, "larger than");
  if (a.shift >= side) refuse("shift", a.shift, "as much as");
}

Words augmentation_lines(const Augmentation& a) {
  Words moves, changes;
  const auto add = [](Words& to, bool wanted, std::string text) {
    if (wanted) to.push_back(std::move(text));
  };
  const auto number = [](float value) { return number_text(plain(value)); };
  add(moves, a.shift > 0, fmt::format("shifts within {} {}", a.shift, a.shift == 1 ? "pixel" : "pixels"));
  add(moves, a.crop > 0, fmt::format("crops of {0}x{0} scaled to the image's size", a.crop));
  add(changes, a.rotate > 0, fmt::format("rotation {} degrees", number(a.rotate)));
  add(changes, a.zoom > 0, fmt::format("zoom {} %", number(100 * a.zoom)));
  add(changes, a.shear > 0, fmt::format("shear {} degrees", number(a.shear)));
  add(changes, a.elastic > 0, fmt::format("elastic {0} px on {1}x{1}", number(a.elastic), a.grid));
  add(changes, a.erase > 0, fmt::format("erasing {} %", number(100 * a.erase)));
  Words lines;
  if (!moves.empty()) lines.push_back(joined(moves));
  if (!changes.empty()) lines.push_back("within: " + joined(changes));
  if (!changes.empty() && a.share < 1)
    lines.push_back(fmt::format("  for {} % of the images", number(100 * a.share)));
  return lines;
}

}  // namespace trainer

// Loads a folder of images as a data set, in the form that data/image.hpp describes.
#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/ranges.h>
#include <map>
#include <string_view>
#include <tuple>

#include "data/image.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

// Hidden, or left behind by an archiver, a desktop or a network disk.
bool is_no_data(const fs::path& path) {
  static constexpr std::array<std::string_view, 8> kLeftBehind{
      "__MACOSX", "@eaDir",     "#recycle",     "@Recycle",
      "@tmp",     "lost+found", "$RECYCLE.BIN", "System Volume Information"};
  const std::string name = path.filename().string();
  return name.starts_with('.') || std::ranges::find(kLeftBehind, name) != kLeftBehind.end();
}

std::string in_small_letters(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return text;
}

bool is_picture(const fs::path& path) {
  const std::string extension = in_small_letters(path.extension().string());
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp";
}

// The name of a label's folder as text that can be shown and saved: if it has bytes that are not UTF-8 or control characters,
// these are written as \xfc, \n. No two names become the same.
std::string label_of(const std::string& name) {
  const std::string quoted = fmt::format("{:?}", name);
  for (const char* escape : {"\\x", "\\n", "\\r", "\\t"})
    if (quoted.find(escape) != std::string::npos) return quoted.substr(1, quoted.size() - 2);
  return name;
}

bool is_number(const std::string& name) {
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char letter) { return std::isdigit(letter) != 0; });
}

// Compares numbers of any length: "2" is before "10", and "07" is next to "7".
bool numerically_before(const std::string& a, const std::string& b) {
  const auto digits = [](std::string_view name) {
    const std::size_t zeros = name.find_first_not_of('0');
    return name.substr(zeros == std::string_view::npos ? name.size() : zeros);
  };
  const std::string_view x = digits(a);
  const std::string_view y = digits(b);
  if (x.size() != y.size()) return x.size() < y.size();
  return x != y ? x < y : a < b;
}

// The sorted names of the label folders of one split, as they are on the disk.
Names find_labels(const fs::path& split) {
  if (!fs::is_directory(split))
    refuse(split, "no such folder; a data set of pictures has train/LABEL/ and test/LABEL/");
  Names labels;
  for (const fs::directory_entry& entry : fs::directory_iterator(split))
    if (entry.is_directory() && !is_no_data(entry)) labels.push_back(entry.path().filename().string());
  if (labels.empty()) refuse(split, "holds no folders; each label is a folder of pictures");
  const bool numbers = std::all_of(labels.begin(), labels.end(), is_number);
  if (numbers)
    std::sort(labels.begin(), labels.end(), numerically_before);
  else
    std::sort(labels.begin(), labels.end());
  return labels;
}

std::vector<fs::path> pictures_in(const fs::path& folder) {
  std::vector<fs::path> pictures;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!entry.is_directory() && !is_no_data(entry) && is_picture(entry)) pictures.push_back(entry);
  return pictures;
}

// Whether a split has pictures, in its labels' folders or beside them.
bool has_pictures(const fs::path& split) {
  return !pictures_in(split).empty() ||
         std::ranges::any_of(fs::directory_iterator(split), [](const fs::directory_entry& entry) {
           return entry.is_directory() && !is_no_data(entry) && !pictures_in(entry).empty();
         });
}

std::vector<fs::path> find_pictures(const fs::path& folder) {
  std::vector<fs::path> pictures = pictures_in(folder);
  if (pictures.empty()) refuse(folder, "holds no pictures; looked for *.png, *.jpg, *.jpeg and *.bmp");
  std::sort(pictures.begin(), pictures.end());
  return pictures;
}

// Adds images to a data set; all must have one size.
class Collector {
 public:
  Collector(Dataset& loaded, const LoadOptions& options) : loaded_(loaded), options_(options) {}

  void add_split(const fs::path& folder, Split& split, const char* way_out = "") {
    way_out_ = way_out;
    for (const std::string& name : find_labels(folder)) {
      const std::uint8_t label = number_of(folder / name);
      for (const fs::path& picture : find_pictures(folder / name)) add_picture(picture, label, split);
    }
    require_one_size();
    if (split.count() == 0)
      refuse(folder, "no picture could be read; all {} were skipped as broken", loaded_.skipped_images);
  }

 private:
  std::uint8_t number_of(const fs::path& folder) {
    Names& names = loaded_.label_names;
    const std::string label = label_of(folder.filename().string());
    const auto at = static_cast<std::size_t>(std::ranges::find(names, label) - names.begin());
    if (at == names.size()) {
      if (options_.label_names.empty() || at == kMostClasses)
        refuse(folder, "label {} has no training pictures; the labels are {}{}", label,
               fmt::join(names, ", "), way_out_);
      names.push_back(label);
    }
    return static_cast<std::uint8_t>(at);
  }

  // Names the first picture of the rarest size.
  void require_one_size() const {
    if (sizes_.size() < 2) return;
    const auto rarer = [](const auto& a, const auto& b) {  // of two that are as rare, the later one
      return std::tuple(a.second.count, b.second.order) < std::tuple(b.second.count, a.second.order);
    };
    const auto& [odd, odd_ones] = *std::ranges::min_element(sizes_, rarer);
    const auto& [usual, usual_ones] = *std::ranges::max_element(sizes_, rarer);
    refuse(odd_ones.first, "a picture of {}x{} pixels, but {} has {}x{}; all must have one size", odd.first,
           odd.second, usual_ones.first.string(), usual.first, usual.second);
  }

  void add_picture(const fs::path& path, std::uint8_t label, Split& split) {
    Image image;
    try {
      image = read_image(path, options_.channels);
    } catch (const DataError&) {
      if (!options_.skip_bad_images) throw;
      ++loaded_.skipped_images;
      return;
    }
    const std::size_t order = sizes_.size();
    ++sizes_.try_emplace({image.height, image.width}, OfOneSize{0, order, path}).first->second.count;
    if (sizes_.size() > 1) return;  // refused when all sizes are known
    loaded_.shape = {image.height, image.width, image.channels};
    split.images.insert(split.images.end(), image.pixels.begin(), image.pixels.end());
    split.labels.push_back(label);
  }

  Dataset& loaded_;
  const LoadOptions& options_;
  const char* way_out_ = "";
  struct OfOneSize {
    std::size_t count, order;
    fs::path first;
  };
  std::map<std::pair<int, int>, OfOneSize> sizes_;  // height and width
};

}  // namespace

PictureFolders find_picture_folders(const fs::path& path) {
  static const std::map<std::string, fs::path PictureFolders::*> kNames{
      {"train", &PictureFolders::train},    {"training", &PictureFolders::train},
      {"val", &PictureFolders::validation}, {"valid", &PictureFolders::validation},
      {"test", &PictureFolders::test},      {"validation", &PictureFolders::validation},
      {"testing", &PictureFolders::test}};
  PictureFolders found;
  if (!fs::is_directory(path)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    const auto name = kNames.find(in_small_letters(entry.path().filename().string()));
    if (name == kNames.end() || !entry.is_directory()) continue;
    fs::path& place = found.*name->second;
    if (!place.empty()) {
      const auto [first, second] = std::minmax(place, entry.path());
      refuse(path, "holds both {}/ and {}/; keep one of them", first.filename().string(),
             second.filename().string());
    }
    place = entry.path();
  }
  return found;
}

Dataset load_image_folder(const fs::path& path, const LoadOptions& options) {
  PictureFolders folders = find_picture_folders(path);
  const bool to_test = !options.label_names.empty();
  if (folders.train.empty()) folders.train = path / "train";
  if (folders.test.empty()) folders.test = path / "test";
  Dataset loaded;
  loaded.label_names = options.label_names;
  if (!to_test) {
    loaded.label_names = find_labels(folders.train);
    std::ranges::transform(loaded.label_names, loaded.label_names.begin(), label_of);
  }
  const auto count = static_cast<int>(loaded.label_names.size());
  const int most = options.classes.value_or(kMostClasses);
  if (count > most)
    refuse(folders.train, "holds {} labels, but {} {}", count,
           options.classes ? "--classes allows" : "a data set can have", most);
  static_cast<void>(find_labels(folders.test));  // before many pictures are read
  Collector collector(loaded, options);
  if (!to_test || fs::is_directory(folders.train)) {
    collector.add_split(folders.train, loaded.train);
    const std::size_t training_images = loaded.train.count();
    if (options.validation && !folders.validation.empty() && has_pictures(folders.validation))
      collector.add_split(folders.validation, loaded.train, "; trainer train --validation 0 ignores it");
    loaded.validation_images = loaded.train.count() - training_images;
  }
  collector.add_split(folders.test, loaded.test);
  loaded.classes = std::max(options.classes.value_or(0), static_cast<int>(loaded.label_names.size()));
  for (auto extra = loaded.label_names.size(); std::cmp_less(extra, loaded.classes); ++extra)
    loaded.label_names.push_back(std::to_string(extra));
  return loaded;
}

}  // namespace trainer::data

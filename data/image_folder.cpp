// Loads a folder of images as a data set, in the form that data/image.hpp describes.
#include <algorithm>
#include <cctype>
#include <fmt/ranges.h>
#include <string_view>

#include "data/image.hpp"
#include "data/input_file.hpp"

namespace trainer::data {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp";
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

// The sorted names of the label folders of one split.
Names find_labels(const fs::path& split) {
  if (!fs::is_directory(split)) {
    refuse(split, "no such folder; a data set of pictures has train/LABEL/ and test/LABEL/");
  }
  Names labels;
  for (const fs::directory_entry& entry : fs::directory_iterator(split)) {
    if (entry.is_directory() && !is_hidden(entry)) labels.push_back(entry.path().filename().string());
  }
  if (labels.empty()) refuse(split, "holds no folders; each label is a folder of pictures");
  const bool numbers = std::all_of(labels.begin(), labels.end(), is_number);
  if (numbers) {
    std::sort(labels.begin(), labels.end(), numerically_before);
  } else {
    std::sort(labels.begin(), labels.end());
  }
  return labels;
}

std::vector<fs::path> find_pictures(const fs::path& folder) {
  std::vector<fs::path> pictures;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.is_directory() && !is_hidden(entry) && is_picture(entry)) pictures.push_back(entry);
  }
  if (pictures.empty()) refuse(folder, "holds no pictures; looked for *.png, *.jpg, *.jpeg and *.bmp");
  std::sort(pictures.begin(), pictures.end());
  return pictures;
}

// Adds images to a data set; all must have the size of the first one.
class Collector {
 public:
  Collector(Dataset& loaded, const LoadOptions& options) : loaded_(loaded), options_(options) {}

  void add_split(const fs::path& folder, const Names& labels, Split& split) {
    for (const std::string& label : labels) {
      const auto at = std::find(loaded_.label_names.begin(), loaded_.label_names.end(), label);
      if (at == loaded_.label_names.end()) {
        refuse(folder / label, "label {} has no training pictures; the labels are {}", label,
               fmt::join(loaded_.label_names, ", "));
      }
      const auto number = static_cast<std::uint8_t>(at - loaded_.label_names.begin());
      for (const fs::path& picture : find_pictures(folder / label)) add_picture(picture, number, split);
    }
    if (split.count() == 0) {
      refuse(folder, "no picture could be read; all {} were skipped as broken", loaded_.skipped_images);
    }
  }

 private:
  void add_picture(const fs::path& path, std::uint8_t label, Split& split) {
    Image image;
    try {
      image = read_image(path, options_.channels);
    } catch (const DataError&) {
      if (!options_.skip_bad_images) throw;
      ++loaded_.skipped_images;
      return;
    }
    if (first_.empty()) {
      first_ = path;
      loaded_.shape = {image.height, image.width, image.channels};
    }
    if (image.height != loaded_.shape.h || image.width != loaded_.shape.w) {
      refuse(path, "a picture of {}x{} pixels, but {} has {}x{}; all must have one size", image.height,
             image.width, first_.string(), loaded_.shape.h, loaded_.shape.w);
    }
    split.images.insert(split.images.end(), image.pixels.begin(), image.pixels.end());
    split.labels.push_back(label);
  }

  Dataset& loaded_;
  const LoadOptions& options_;
  fs::path first_;
};

}  // namespace

bool holds_pictures(const fs::path& path) {
  return fs::is_directory(path / "train") || fs::is_directory(path / "test");
}

Dataset load_image_folder(const fs::path& path, const LoadOptions& options) {
  const Names train_labels = find_labels(path / "train");
  const Names test_labels = find_labels(path / "test");
  const int count = static_cast<int>(train_labels.size());
  const int most = options.classes.value_or(kMostClasses);
  if (count > most) {
    refuse(path / "train", "holds {} labels, but {} {}", count,
           options.classes ? "--classes allows" : "a data set can have", most);
  }
  Dataset loaded;
  loaded.label_names = train_labels;
  loaded.classes = options.classes.value_or(count);
  Collector collector(loaded, options);
  collector.add_split(path / "train", train_labels, loaded.train);
  collector.add_split(path / "test", test_labels, loaded.test);
  for (int extra = count; extra < loaded.classes; ++extra)
    loaded.label_names.push_back(std::to_string(extra));
  return loaded;
}

}  // namespace trainer::data

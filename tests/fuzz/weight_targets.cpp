// Targets: files of weights.
#include <nlohmann/json.hpp>

#include "models/spec.hpp"
#include "tests/fuzz/support.hpp"
#include "trainer/runs/drift.hpp"
#include "trainer/system/errors.hpp"
#include "trainer/system/text.hpp"
#include "trainer/train/checkpoint.hpp"

namespace trainer::fuzz {

namespace {

void use(const SafetensorsFile& file) {
  const SavedNetwork saved = read_saved_network(file);
  const Plan plan = make_plan(saved.spec, {saved.image, saved.classes, 1});
  require_weights(file, plan, true);
  require_weights(file, plan, false);
}

// A file's keys are this program's own words, or were read as UTF-8: two that a writer would make alike are not among them.
std::string as_utf8(const std::string& key) {
  return nlohmann::ordered_json::parse(to_text(key)).get<std::string>();
}

Metadata metadata_of(const std::string& text) {
  Metadata metadata;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\x1e', at), text.size());
    const std::string entry = text.substr(at, end - at);
    const std::size_t border = std::min(entry.find('='), entry.size());
    metadata[as_utf8(entry.substr(0, border))] = border < entry.size() ? entry.substr(border + 1) : "";
    at = end + 1;
  }
  return metadata;
}

}  // namespace

bool fuzz_safetensors(ByteSpan input) {
  const std::filesystem::path path = file_of(input);
  const bool foreign = is_taken<FileError>([&] {
    const SafetensorsFile file = SafetensorsFile::read(path, Writer::any);
    (void)weight_differences_text(weight_differences(file, file));
    for (const Tensor& tensor : file.tensors()) (void)file.require(tensor.name, tensor.shape);
  });
  const bool own = is_taken<FileError, SpecError>([&] { use(SafetensorsFile::read(path)); });
  return foreign || own;
}

bool fuzz_checkpoint(ByteSpan input) {
  const std::filesystem::path path = file_of(ByteSpan());
  const std::vector<float> values(10, 0.5F);
  const Tensor tensor{"dense1.bias", {10}, std::as_bytes(std::span(values))};
  write_safetensors(path, std::span(&tensor, 1), metadata_of(text_of(input)));
  const SafetensorsFile file = SafetensorsFile::read(path);
  if (!is_taken<FileError, SpecError>([&] { (void)read_saved_network(file); })) return false;
  (void)is_taken<FileError, SpecError>([&] { use(file); });
  return true;
}

}  // namespace trainer::fuzz

// The fuzz targets: functions that give bytes to the readers of what others write. A reader takes them or refuses them with the
// exception that its header names; every other end is a fault: another exception, a crash, a leak, undefined behaviour, more
// memory or time than the input explains. tests/fuzz/libfuzzer.cpp searches for such an input (scripts/fuzz.sh), fuzz_test.cpp
// runs the inputs of tests/fuzz/seeds/NAME and tests/fuzz/found/NAME in the ordinary suite.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trainer::fuzz {

using ByteSpan = std::span<const std::uint8_t>;

// Each returns whether the reader took the input.
bool fuzz_idx(ByteSpan input);          // a file of images, of labels, of either
bool fuzz_gzip(ByteSpan input);         // the same, packed
bool fuzz_picture(ByteSpan input);      // a PNG, JPEG or BMP file, with EXIF
bool fuzz_network(ByteSpan input);      // a network's YAML, and its plan
bool fuzz_config(ByteSpan input);       // the YAML of train --config
bool fuzz_compute(ByteSpan input);      // NAME.compute of a target
bool fuzz_runconfig(ByteSpan input);    // NAME.runconfig of a target
bool fuzz_safetensors(ByteSpan input);  // a model, a checkpoint or another program's file
bool fuzz_checkpoint(
    ByteSpan
        input);  // the metadata of a checkpoint: entries "key=value", each of which ends with the byte 1e
bool fuzz_run(ByteSpan input);      // run.json, and what `trainer runs` prints of it
bool fuzz_metrics(ByteSpan input);  // metrics.jsonl likewise
bool fuzz_bench(ByteSpan input);    // a record for bench --compare
bool fuzz_registry(
    ByteSpan input);  // stages.json and version.json of a registered network, with 0x1e between them
bool fuzz_where(ByteSpan input);    // the expression of runs list --where
bool fuzz_explain(ByteSpan input);  // a message for doctor --explain, or what ssh and docker said
bool fuzz_ranks(
    ByteSpan
        input);  // what other ranks send; the first byte chooses how many there are and what is exchanged

struct FuzzTarget {
  const char* name;
  bool (*run)(ByteSpan input);
  // Makes the checksums of an input right, so that what lies behind their check is reached too; null: it has none.
  std::vector<std::uint8_t> (*repaired)(std::vector<std::uint8_t> input) = nullptr;
  std::size_t longest = 4096;  // bytes of an input
};

std::span<const FuzzTarget> fuzz_targets();

std::vector<std::uint8_t> repaired_gzip(
    std::vector<std::uint8_t> file);                                     // checksum and length of each member
std::vector<std::uint8_t> repaired_png(std::vector<std::uint8_t> file);  // checksum of each chunk
std::vector<std::uint8_t> repaired_safetensors(std::vector<std::uint8_t> file);  // content_sha256

}  // namespace trainer::fuzz

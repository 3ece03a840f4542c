// The safetensors format: what is written comes back, Python's own package reads it, and no damaged, cut-off
// or made-up file gets through.
#include "trainer/store/safetensors.hpp"

#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <string>

#include "tests/support/file_errors.hpp"
#include "tests/support/temporary_folder.hpp"
#include "trainer/system/files.hpp"
#include "trainer/system/sha256.hpp"

namespace trainer {
namespace {

using test::read_bytes;
using test::read_text;
using test::TemporaryFolder;
namespace fs = std::filesystem;

const std::string kZeros(64, '0');

struct Sample {
  std::vector<float> weights{1.5F, -2.0F, 3.25F, 0.0F, 5.0F, -6.5F};
  std::vector<float> step{0.5F};
  std::vector<float> bias{1, 2, 3};
  std::vector<Tensor> tensors{
      {"conv1.weight", {2, 3}, std::as_bytes(std::span(weights))},
      {"bias", {3}, std::as_bytes(std::span(bias))},
      {"step", {}, std::as_bytes(std::span(step))},
      {"empty", {0, 4}, {}},
  };
  Metadata metadata{{"format_version", "1"}, {"spec", "name: tiny\nlayers: \"\xc3\xa4\"\n"}, {"a", kZeros}};

  fs::path write(const fs::path& path) const {
    write_safetensors(path, tensors, metadata);
    return path;
  }
};

std::string refused_file(const fs::path& path) {
  return message_of([&] { (void)SafetensorsFile::read(path); });
}

// A file with this header, this payload and, where the header has 64 zeros for it, the right hash.
std::string file_of(const std::string& header, const std::string& payload) {
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  file += header + payload;
  const std::size_t place = file.find(kZeros);
  if (place != std::string::npos) file.replace(place, 64, sha256_hex(std::as_bytes(std::span(file))));
  return file;
}

std::string with_metadata(const std::string& tensors) {
  return R"({"__metadata__":{"content_sha256":")" + kZeros + "\"}" + tensors + "}";
}

void expect_refused(const std::string& contents, const std::string& reason) {
  const TemporaryFolder folder;
  const fs::path path = folder.write("made_up.safetensors", contents);
  const std::string message = refused_file(path);
  EXPECT_NE(message.find(reason), std::string::npos) << "'" << reason << "' is not in: " << message;
  EXPECT_NE(message.find(path.string()), std::string::npos) << message;
}

TEST(Safetensors, WhatIsWrittenComesBack) {
  const TemporaryFolder folder;
  const Sample sample;
  const SafetensorsFile file = SafetensorsFile::read(sample.write(folder / "model.safetensors"));
  ASSERT_EQ(file.tensors().size(), sample.tensors.size());
  for (const Tensor& written : sample.tensors) {
    EXPECT_TRUE(std::ranges::equal(file.require(written.name, written.shape), written.bytes)) << written.name;
  }
  for (const auto& [key, value] : sample.metadata) EXPECT_EQ(file.text(key), value);
  EXPECT_EQ(file.metadata().size(), sample.metadata.size() + 1);
}

TEST(Safetensors, HeaderIsPaddedToEightBytesAndKeepsTheOrder) {
  const TemporaryFolder folder;
  const std::vector<std::uint8_t> bytes = read_bytes(Sample().write(folder / "model.safetensors"));
  EXPECT_EQ(bytes[0] % 8, 0);
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_LT(text.find("conv1.weight"), text.find("\"bias\""));
  EXPECT_LT(text.find("\"bias\""), text.find("\"step\""));
}

TEST(Safetensors, SurvivesAMove) {
  const TemporaryFolder folder;
  SafetensorsFile first = SafetensorsFile::read(Sample().write(folder / "model.safetensors"));
  const SafetensorsFile second = std::move(first);
  EXPECT_EQ(second.tensors()[1].bytes[3], std::byte{0x3f});
}

TEST(Safetensors, RequireNamesWhatDiffers) {
  const TemporaryFolder folder;
  const SafetensorsFile file = SafetensorsFile::read(Sample().write(folder / "model.safetensors"));
  const std::vector<std::uint64_t> shape{2, 3};
  const std::vector<std::uint64_t> other{3, 2};
  EXPECT_EQ(file.require("conv1.weight", shape).size(), 24U);
  const auto message = [&](const char* name, const std::vector<std::uint64_t>& wanted) -> std::string {
    try {
      (void)file.require(name, wanted);
    } catch (const FileError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("conv1.weight", other).find("is [2, 3], but [3, 2] is needed"), std::string::npos);
  EXPECT_NE(message("conv2.weight", shape).find("no tensor 'conv2.weight' among its 4"), std::string::npos);
  EXPECT_THROW((void)file.text("none"), FileError);
}

TEST(Safetensors, RefusesToWriteWhatDoesNotFitItself) {
  const TemporaryFolder folder;
  Sample sample;
  sample.tensors[0].shape = {2, 4};
  EXPECT_THROW(sample.write(folder / "x"), std::invalid_argument);
  sample.tensors[0].shape = {2, 3};
  sample.tensors[1].name = "step";
  EXPECT_THROW(sample.write(folder / "x"), std::invalid_argument);
  sample.tensors[1].name = "__metadata__";
  EXPECT_THROW(sample.write(folder / "x"), std::invalid_argument);
  EXPECT_FALSE(fs::exists(folder / "x"));
}

TEST(Safetensors, FindsEveryChangedByte) {
  const TemporaryFolder folder;
  const std::string whole = read_text(Sample().write(folder / "model.safetensors"));
  for (std::size_t place = 0; place < whole.size(); ++place) {
    for (const int change : {1 << (place % 8), 0xff}) {
      std::string damaged = whole;
      damaged[place] = static_cast<char>(damaged[place] ^ change);
      ASSERT_NE(refused_file(folder.write("damaged", damaged)), "no FileError was thrown")
          << "byte " << place << ", flips " << change;
    }
  }
}

TEST(Safetensors, FindsEveryTruncationAndAnAddedByte) {
  const TemporaryFolder folder;
  const std::string whole = read_text(Sample().write(folder / "model.safetensors"));
  for (std::size_t length = 0; length < whole.size(); ++length)
    ASSERT_NE(refused_file(folder.write("short", whole.substr(0, length))), "no FileError was thrown")
        << length << " bytes";
  EXPECT_NE(refused_file(folder.write("long", whole + '\0')), "no FileError was thrown");
  EXPECT_EQ(refused_file(folder.write("whole", whole)), "no FileError was thrown");
}

TEST(Safetensors, NamesWhatIsWrongWithTheHeader) {
  expect_refused("", "it has 0 bytes, fewer than the 8");
  expect_refused(std::string(8, '\xff') + "{}", "should have 18446744073709551615 bytes, and 2 bytes follow");
  expect_refused(std::string("\0\0\x80\0\0\0\0\0", 8) + std::string(1 << 23, ' '), "more than the 4194304");
  expect_refused(file_of("{\"a\":", ""), "its header is not JSON");
  expect_refused(file_of("[1]", ""), "not an object");
  expect_refused(file_of("{}", ""), "no 'content_sha256': this program did not write it");
  expect_refused(file_of(R"({"__metadata__":{"content_sha256":"abc"}})", ""), "not a hash of 64");
  expect_refused(file_of(R"({"__metadata__":{"content_sha256":")" + std::string(64, 'z') + "\"}}", ""),
                 "not a hash of 64");
  expect_refused(file_of(R"({"__metadata__":7})", ""), "__metadata__ is not an object");
  expect_refused(file_of(R"({"__metadata__":{"a":7}})", ""), "metadata 'a' is not a string");
  expect_refused(file_of(R"({"a":1,"a":2})", ""), "the key 'a' twice");
  expect_refused(file_of(R"({"a":[[[1]]]})", ""), "deeper than 3");
  expect_refused(file_of("{\"a\":" + std::string(1'000'000, '['), ""), "deeper than 3");
}

TEST(Safetensors, NamesWhatIsWrongWithATensor) {
  const auto tensor = [](const std::string& entry) {
    return file_of(with_metadata(",\"w\":" + entry), "12345678");
  };
  expect_refused(tensor("7"), "tensor 'w': its entry is not an object");
  expect_refused(tensor(R"({"dtype":"F32","shape":[2]})"), "2 keys instead of 3");
  expect_refused(tensor(R"({"dtype":"F64","shape":[1],"data_offsets":[0,8]})"),
                 "its numbers are F64; this program reads F32");
  expect_refused(tensor(R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})"), "'dtype' is not a string");
  expect_refused(tensor(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"), "'shape' is not a list");
  expect_refused(tensor(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"),
                 "not a whole number of 0 or more");
  expect_refused(tensor(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"),
                 "not a whole number of 0 or more");
  expect_refused(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,8]})"),
                 "has 3 numbers instead of 2");
  expect_refused(tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"),
                 "its bytes 8 to 0 are not in the 8");
  expect_refused(tensor(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"),
                 "its bytes 0 to 16 are not in the 8");
  expect_refused(tensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"),
                 "overflows");
  expect_refused(tensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
                 "F32 of shape [3] takes 12 bytes, but its offsets give it 8");
  expect_refused(tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "begin at 4 instead of 0");
  expect_refused(tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "end at byte 4 of the 8");
  expect_refused(
      tensor(
          R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]})"),
      "tensor 'v': its bytes begin at 4 instead of 8");
}

TEST(Safetensors, AcceptsAHandWrittenFileWithTheRightHash) {
  const TemporaryFolder folder;
  const std::string header = with_metadata(R"(,"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})");
  EXPECT_EQ(refused_file(folder.write("x", file_of(header, "12345678"))), "no FileError was thrown");
  EXPECT_NE(refused_file(folder.write("x", file_of(header, "12345678").replace(header.size() + 8, 1, "2")))
                .find("damaged"),
            std::string::npos);
}

TEST(Safetensors, LeavesOutTorchsCountersOfBatches) {
  const TemporaryFolder folder;
  const std::string header =
      with_metadata(R"(,"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})"
                    R"(,"1.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[4,12]})");
  const SafetensorsFile file = SafetensorsFile::read(folder.write("x", file_of(header, "1234567890ab")));
  EXPECT_NE(file.find("w"), nullptr);
  EXPECT_EQ(file.find("1.num_batches_tracked"), nullptr);
}

TEST(Safetensors, PythonReadsTheFileAndFindsTheHashRight) {
  const char* chosen = std::getenv("TRAINER_PYTHON");
  const std::string python = std::string("'") + (chosen != nullptr ? chosen : "python3") + "' ";
  if (std::system((python + "-c 'import numpy, safetensors' 2>/dev/null").c_str()) != 0)
    GTEST_SKIP() << python
                 << "has no packages numpy and safetensors; TRAINER_PYTHON names another interpreter";
  const TemporaryFolder folder;
  const fs::path path = Sample().write(folder / "model.safetensors");
  const fs::path script = folder.write("check.py", R"(
import hashlib, sys
from safetensors import safe_open
path = sys.argv[1]
with safe_open(path, framework="np") as file:
    assert set(file.keys()) == {"conv1.weight", "bias", "step", "empty"}, file.keys()
    weights = file.get_tensor("conv1.weight")
    assert weights.tolist() == [[1.5, -2.0, 3.25], [0.0, 5.0, -6.5]], weights
    assert file.get_tensor("step").tolist() == 0.5
    assert file.get_tensor("bias").tolist() == [1, 2, 3]
    assert file.get_tensor("empty").shape == (0, 4)
    metadata = file.metadata()
assert metadata["spec"] == 'name: tiny\nlayers: "\u00e4"\n'
data, digits = open(path, "rb").read(), metadata["content_sha256"].encode()
assert hashlib.sha256(data.replace(digits, b"0" * 64, 1)).hexdigest().encode() == digits
)");
  EXPECT_EQ(std::system((python + "'" + script.string() + "' '" + path.string() + "'").c_str()), 0);
}

}  // namespace
}  // namespace trainer

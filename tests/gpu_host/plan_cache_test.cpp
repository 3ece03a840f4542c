// The folder of kept plans: what is found again, and that damage, other keys and unusable folders count as
// absent.
#include "kernels/cuda/cudnn/plan_cache.hpp"

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.hpp"

namespace trainer::cuda {

namespace {

using test::read_text;
using test::TemporaryFolder;

constexpr const char* kKey = "forward of convolution 5x5x24 on 256 x 28x28x1, fp32; NVIDIA H200";
const std::string kText = std::string("68 1 1\n{\"engine\":{}}") + '\0' + "after a zero byte";

}  // namespace

TEST(PlanCache, FindsWhatItKept) {
  const TemporaryFolder folder;
  const PlanCache cache(folder / "made/when/needed");
  EXPECT_FALSE(cache.find(kKey));
  cache.keep(kKey, kText);
  EXPECT_EQ(cache.find(kKey), kText);
  cache.keep(kKey, "another");
  EXPECT_EQ(cache.find(kKey), "another");
}

TEST(PlanCache, LeavesNoPartialFileBehind) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  cache.keep(kKey, kText);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_EQ(entry.path(), cache.file_of(kKey));
    ++files;
  }
  EXPECT_EQ(files, 1);
}

TEST(PlanCache, IgnoresEveryTruncationAndEveryChangedByte) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  cache.keep(kKey, kText);
  const std::filesystem::path file = cache.file_of(kKey);
  const std::string whole = read_text(file);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    folder.write(file.filename(), std::string_view(whole).substr(0, i));
    EXPECT_FALSE(cache.find(kKey)) << "cut after " << i << " bytes";
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    folder.write(file.filename(), std::string_view(changed));
    EXPECT_FALSE(cache.find(kKey)) << "byte " << i << " changed";
  }
}

TEST(PlanCache, IgnoresTheFileOfAnotherKey) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  const std::string other = std::string(kKey) + ", cuDNN 91900";
  cache.keep(kKey, kText);
  std::filesystem::copy_file(cache.file_of(kKey), cache.file_of(other));
  EXPECT_FALSE(cache.find(other));
}

TEST(PlanCache, IsSilentWhereTheFolderCannotBe) {
  const TemporaryFolder folder;
  folder.write("file", "not a folder");
  for (const std::filesystem::path& unusable :
       {folder / "file", folder / "file/below", std::filesystem::path()}) {
    const PlanCache cache(unusable);
    cache.keep(kKey, kText);
    EXPECT_FALSE(cache.find(kKey)) << unusable;
  }
}

TEST(PlanCache, IgnoresAFolderInAFilesPlace) {
  const TemporaryFolder folder;
  const PlanCache cache(folder.path());
  std::filesystem::create_directories(cache.file_of(kKey));
  EXPECT_FALSE(cache.find(kKey));
  cache.keep(kKey, kText);
  EXPECT_FALSE(cache.find(kKey));
}

}  // namespace trainer::cuda

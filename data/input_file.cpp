#include "data/input_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "data/refuse.hpp"

namespace trainer::data {
namespace {

std::string system_reason() {
  return std::generic_category().message(errno);
}

}  // namespace

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a pipe nobody writes to would wait for ever.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) refuse(path_, "cannot be opened: {}", system_reason());
  struct stat status {};
  const bool regular = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    ::close(descriptor_);  // the destructor does not run after a throw from here
    refuse(path_, "is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  ::close(descriptor_);
}

void InputFile::read_at(std::uint64_t offset, std::span<std::uint8_t> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path_, "cannot be read: {}", system_reason());
    if (got == 0) {
      refuse(path_, "ended after {} bytes while it was read; it had {} when it was opened", offset + done,
             size_);
    }
    done += static_cast<std::size_t>(got);
  }
}

Bytes InputFile::read_all(std::uint64_t most) const {
  if (size_ > most) refuse(path_, "holds {} bytes; at most {} are read", size_, most);
  Bytes bytes;
  bytes.resize(size_);
  read_at(0, bytes);
  return bytes;
}

}  // namespace trainer::data

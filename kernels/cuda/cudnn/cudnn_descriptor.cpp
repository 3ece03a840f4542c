#include "kernels/cuda/cudnn/cudnn_descriptor.hpp"

#include <array>
#include <fmt/format.h>

#include "kernels/backend.hpp"

namespace trainer::cuda {

std::string status_text(cudnnStatus_t status) {
  std::array<char, 2048> last{};
  cudnnGetLastErrorString(last.data(), last.size());
  std::string text = last.data();
  for (char& c : text) {
    if (c == '\n' || c == '\t') c = ' ';
  }
  text.erase(text.find_last_not_of(' ') + 1);
  const std::string code = fmt::format("{} ({})", cudnnGetErrorString(status), static_cast<int>(status));
  return text.empty() ? code : code + ": " + text;
}

void check(cudnnStatus_t status, std::string_view what) {
  if (status != CUDNN_STATUS_SUCCESS) throw BackendError(fmt::format("{}: {}", what, status_text(status)));
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &raw_), "cudnnBackendCreateDescriptor");
}

void Descriptor::finalize() {
  check(try_finalize(), "cudnnBackendFinalize");
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         std::size_t count, const void* values) {
  const cudnnStatus_t status =
      cudnnBackendSetAttribute(raw_, name, type, static_cast<std::int64_t>(count), values);
  if (status != CUDNN_STATUS_SUCCESS) {
    check(status, fmt::format("cudnnBackendSetAttribute {}", static_cast<int>(name)));
  }
}

std::size_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                std::size_t count, void* values) const {
  std::int64_t got = 0;
  const cudnnStatus_t status =
      cudnnBackendGetAttribute(raw_, name, type, static_cast<std::int64_t>(count), &got, values);
  if (status != CUDNN_STATUS_SUCCESS) {
    check(status, fmt::format("cudnnBackendGetAttribute {}", static_cast<int>(name)));
  }
  return static_cast<std::size_t>(got);
}

std::size_t Descriptor::count(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) const {
  return get_raw(name, type, 0, nullptr);
}

std::int64_t Descriptor::get_number(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0;
  get_raw(name, CUDNN_TYPE_INT64, 1, &value);
  return value;
}

void Descriptor::get_descriptor(cudnnBackendAttributeName_t name, Descriptor& into) const {
  get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &into.raw_);
}

std::vector<Descriptor> Descriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                                    cudnnBackendDescriptorType_t type) const {
  const std::size_t most = count(name, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  std::vector<Descriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::size_t i = 0; i < most; ++i) raw.push_back(all.emplace_back(type).raw());
  const std::size_t got = most > 0 ? get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data()) : 0;
  while (all.size() > got) all.pop_back();
  return all;
}

}  // namespace trainer::cuda

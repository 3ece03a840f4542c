// The one place that knows the difference between oneDNN's 2.x and 3.x C++ interfaces, and the few types shared
// by ops that use its primitives. 2.x wraps an operation descriptor in a primitive descriptor; 3.x takes the
// same arguments without the wrapper.
#pragma once

#include <cstddef>
#include <fmt/format.h>
#include <initializer_list>
#include <new>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/cpu/runtime/stream.hpp"
#include "kernels/op.hpp"

namespace trainer::cpu {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;
using Tag = dnnl::memory::format_tag;

using Type = dnnl::memory::data_type;

inline Desc float_desc(const Dims& dims, Tag tag) {
  return {dims, Type::f32, tag};
}

// The caller provides the scratch memory.
inline dnnl::primitive_attr user_scratch() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// Builds the primitive descriptor of Primitive; `args` are its arguments in the order of oneDNN.
template <typename Primitive, typename... Args>
typename Primitive::primitive_desc describe_primitive(const dnnl::engine& engine, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, args..., user_scratch());
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), user_scratch(), engine);
#endif
}

// The same for a backward primitive, which takes the forward one as a hint.
template <typename Primitive, typename Hint, typename... Args>
typename Primitive::primitive_desc describe_backward(const dnnl::engine& engine, const Hint& hint,
                                                     const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, args..., hint, user_scratch());
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), user_scratch(), engine, hint);
#endif
}

// Throws std::bad_alloc if oneDNN had no memory, else BackendError. `what` names what was tried.
[[noreturn]] inline void fail(dnnl_status_t status, const std::string& what) {
  if (status == dnnl_out_of_memory) throw std::bad_alloc();
  throw BackendError(fmt::format("{}: oneDNN: status {}", what, static_cast<int>(status)));
}

// What an op needs from its backend to make and run primitives.
struct OneDnn {
  dnnl::engine engine;
  dnnl::stream stream;
  std::size_t threads;  // how many may run primitives

  dnnl::memory view(const Desc& desc, const void* data) const {
    return {desc, engine, const_cast<void*>(data)};  // NOLINT: oneDNN has no memory of constants
  }
  // Copies weights into another layout and type.
  void reorder(const Desc& from, const void* source, const Desc& to, void* target) const {
    try {
      dnnl::memory a = view(from, source);
      dnnl::memory b = view(to, target);
      dnnl::reorder(a, b).execute(stream, a, b);
    } catch (const dnnl::error& error) {
      fail(error.status, error.what());
    }
  }
};

// A thread's memory objects for the operands of a primitive, which take longer to make than some primitives take to run.
class Operands {
 public:
  bool empty() const { return arguments_.empty(); }
  void add(int argument, dnnl::memory memory, const void* data) {
    arguments_.push_back({argument, memory.get()});
    memory_.push_back(std::move(memory));
    data_.push_back(data);
  }
  void point(std::size_t index, const void* data) {
    if (data_[index] == data) return;
    memory_[index].set_data_handle(const_cast<void*>(data));  // NOLINT: as in view()
    data_[index] = data;
  }
  void execute(const dnnl::primitive& primitive, const dnnl::stream& stream) const {
    const auto count = static_cast<int>(arguments_.size());
    const dnnl_status_t status =
        dnnl_primitive_execute(primitive.get(), stream.get(), count, arguments_.data());
    if (status != dnnl_success) fail(status, "a primitive does not run");
  }

 private:
  std::vector<dnnl::memory> memory_;
  std::vector<const void*> data_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

// A primitive with its descriptor; empty until make().
template <typename Primitive>
struct Ready {
  typename Primitive::primitive_desc desc;
  Primitive run;

  void make(const OneDnn& dnn, typename Primitive::primitive_desc made) {
    desc = std::move(made);
    run = Primitive(desc);
    operands_.resize(dnn.threads);
  }
  std::size_t scratch_bytes() const {
    return run.get(true) == nullptr ? 0 : desc.scratchpad_desc().get_size();
  }
  // Runs it on memory in the descriptor's layouts; an operand is a DNNL_ARG_* of oneDNN and its memory. Every call has the same
  // arguments in the same order.
  void execute(const OneDnn& dnn, std::byte* scratch,
               std::initializer_list<std::pair<int, const void*>> operands) const {
    Operands& own = operands_[static_cast<std::size_t>(Stream::worker())];
    if (own.empty()) {
      own.add(DNNL_ARG_SCRATCHPAD, dnn.view(desc.scratchpad_desc(), scratch), scratch);
      for (const auto& [argument, data] : operands)
        own.add(argument, dnn.view(desc.query_md(dnnl::query::exec_arg_md, argument), data), data);
    }
    std::size_t index = 0;
    own.point(index, scratch);
    for (const auto& [argument, data] : operands) own.point(++index, data);
    own.execute(run, dnn.stream);
  }

 private:
  mutable std::vector<Operands> operands_;  // [threads]
};

}  // namespace trainer::cpu

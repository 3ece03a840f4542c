// Shapes, parameters and arithmetic of every op, worked out from its description alone.
#include "kernels/op.hpp"

#include <fmt/format.h>

#include "kernels/backend.hpp"

namespace trainer {

namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

Shape pooled(const Shape& in, const Window& window) {
  return {window_positions(in.h, window.size, window.stride),
          window_positions(in.w, window.size, window.stride), in.c};
}

Shape vector_of(int features) {
  return {1, 1, features};
}

std::string window_text(const char* name, const Window& window) {
  return window.stride == window.size ? fmt::format("{} {}", name, window.size)
                                      : fmt::format("{} {} stride {}", name, window.size, window.stride);
}

std::string map_text(const Shape& s) {
  return fmt::format("{}x{}x{}", s.h, s.w, s.c);
}

template <typename Side>
MapContract* map_of(OpDesc& desc, const Side& side) {
  const auto find = [&](auto& d) -> MapContract* {
    if constexpr (requires { side(d); }) return side(d);
    return nullptr;
  };
  return std::visit(find, desc);
}

}  // namespace

MapContract* x_map(OpDesc& desc) {
  return map_of(desc, [](auto& d) -> decltype(&d.x_map) { return &d.x_map; });
}

MapContract* y_map(OpDesc& desc) {
  return map_of(desc, [](auto& d) -> decltype(&d.y_map) { return &d.y_map; });
}

OpDesc product_of(const NormalisedDesc& desc) {
  return std::visit([](const auto& d) { return OpDesc(d); }, desc.product);
}

Shape conv_map(const ConvDesc& desc) {
  const int h = desc.in.h + desc.pad.top + desc.pad.bottom;
  const int w = desc.in.w + desc.pad.left + desc.pad.right;
  return {window_positions(h, desc.kernel, desc.stride), window_positions(w, desc.kernel, desc.stride),
          desc.out};
}

Shape in_shape(const OpDesc& desc) {
  return std::visit(Overloaded{[](const DenseDesc& d) { return vector_of(d.in); },
                               [](const HeadDesc& d) { return vector_of(d.in); },
                               [](const NormalisedDesc& d) { return in_shape(product_of(d)); },
                               [](const auto& d) { return d.in; }},
                    desc);
}

Shape out_shape(const OpDesc& desc) {
  return std::visit(
      Overloaded{[](const ConvDesc& d) { return d.pool ? pooled(conv_map(d), d.pool) : conv_map(d); },
                 [](const DenseDesc& d) { return vector_of(d.out); },
                 [](const HeadDesc& d) { return vector_of(d.classes); },
                 [](const MaxPoolDesc& d) { return pooled(d.in, d.window); },
                 [](const AvgPoolDesc& d) { return pooled(d.in, d.window); },
                 [](const NormalisedDesc& d) { return d.norm.in; }, [](const auto& d) { return d.in; }},
      desc);
}

std::string describe(const OpDesc& desc) {
  return std::visit(
      Overloaded{
          [](const ConvDesc& d) {
            std::string text = fmt::format("conv {0}x{0}x{1} on {2}", d.kernel, d.out, map_text(d.in));
            if (d.stride != 1) text += fmt::format(", stride {}", d.stride);
            if (d.pool) text += ", " + window_text("maxpool", d.pool);
            if (d.relu) text += ", relu";
            return text;
          },
          [](const DenseDesc& d) {
            return fmt::format("dense {}x{}{}", d.in, d.out, d.relu ? ", relu" : "");
          },
          [](const HeadDesc& d) { return fmt::format("head {}x{}", d.in, d.classes); },
          [](const MaxPoolDesc& d) { return window_text("maxpool", d.window) + " on " + map_text(d.in); },
          [](const AvgPoolDesc& d) { return window_text("avgpool", d.window) + " on " + map_text(d.in); },
          [](const DropoutDesc& d) { return fmt::format("dropout {} on {}", d.drop, map_text(d.in)); },
          [](const BatchNormDesc& d) {
            return "batchnorm on " + map_text(d.in) + (d.gamma ? "" : ", no gain") + (d.gelu ? ", gelu" : "");
          },
          [](const NormalisedDesc& d) {
            return describe(product_of(d)) + ", batchnorm" + (d.norm.gelu ? ", gelu" : "");
          },
          [](const auto& d) { return fmt::format("{} on {}", d.kName, map_text(d.in)); }},
      desc);
}

std::uint64_t forward_flops(const OpDesc& desc) {
  return std::visit(Overloaded{[](const ConvDesc& d) {
                                 return std::uint64_t{2} * conv_map(d).size() * d.kernel * d.kernel * d.in.c;
                               },
                               [](const DenseDesc& d) { return std::uint64_t{2} * d.in * d.out; },
                               [](const HeadDesc& d) { return std::uint64_t{2} * d.in * d.classes; },
                               [](const NormalisedDesc& d) { return forward_flops(product_of(d)); },
                               [](const auto&) { return std::uint64_t{0}; }},
                    desc);
}

void require_poolable(const OpDesc& desc, const Window& window, const char* engine) {
  constexpr int kLargest = 15;
  if (window.size <= kLargest) return;
  throw BackendError(fmt::format(
      "{0}: the {1} engine pools windows of at most {2} by {2}; use avgpool, or pool in two steps",
      describe(desc), engine, kLargest));
}

const char* role_name(ParameterRole role) {
  constexpr const char* kNames[] = {"weight", "bias", "gain", "offset", "running_mean", "running_variance"};
  return kNames[static_cast<int>(role)];
}

bool is_trained(ParameterRole role) {
  return role != ParameterRole::running_mean && role != ParameterRole::running_variance;
}

std::size_t ParameterDesc::count() const {
  std::size_t product = 1;
  for (const int extent : shape) product *= static_cast<std::size_t>(extent);
  return product;
}

std::vector<ParameterDesc> parameters(const OpDesc& desc) {
  using All = std::vector<ParameterDesc>;
  const auto product = [](const std::vector<int>& weight, int fan_in, int fan_out, bool bias) {
    All both{{ParameterRole::weight, weight, fan_in, fan_out}};
    if (bias) both.push_back({ParameterRole::bias, {weight.front()}, fan_in, fan_out});
    return both;
  };
  return std::visit(
      Overloaded{[&](const ConvDesc& d) {
                   const int area = d.kernel * d.kernel;
                   return product({d.out, d.kernel, d.kernel, d.in.c}, area * d.in.c, area * d.out, d.bias);
                 },
                 [&](const DenseDesc& d) {
                   return product({d.out, d.in}, d.in, d.out, d.bias);
                 },
                 [&](const HeadDesc& d) {
                   return product({d.classes, d.in}, d.in, d.classes, d.bias);
                 },
                 [](const BatchNormDesc& d) {
                   All all;
                   if (d.gamma) all.push_back({ParameterRole::gamma, {d.in.c}});
                   for (const ParameterRole role :
                        {ParameterRole::beta, ParameterRole::running_mean, ParameterRole::running_variance})
                     all.push_back({role, {d.in.c}});
                   return all;
                 },
                 [](const NormalisedDesc& d) {
                   All all = parameters(product_of(d));
                   for (const ParameterDesc& parameter : parameters(d.norm)) all.push_back(parameter);
                   return all;
                 },
                 [](const auto&) { return All{}; }},
      desc);
}

}  // namespace trainer

// Capture and graph calls of the runtime.
#include <algorithm>
#include <memory>
#include <utility>

#include "tests/emulator/state.hpp"

using emulator::call;
using emulator::Capture;
using emulator::explain;
using emulator::Rule;
using emulator::state;
using emulator::Work;
using emulator::WorkKind;

namespace {

// Lists the nodes in the order in which they run, with child graphs expanded in place.
void flatten(const Work& work, std::vector<Work>& flat) {
  if (!work.parts) {
    flat.push_back(work);
    return;
  }
  for (const Work& part : *work.parts) flatten(part, flat);
}

std::vector<Work> flat_nodes(const CUgraph_st& graph) {
  std::vector<Work> flat;
  for (const CUgraphNode_st& node : graph.nodes) flatten(node.work, flat);
  return flat;
}

std::size_t kernels(const std::vector<Work>& nodes) {
  return static_cast<std::size_t>(std::count_if(nodes.begin(), nodes.end(), [](const Work& work) {
    return work.kind == WorkKind::kernel || work.kind == WorkKind::library;
  }));
}

cudaGraphNodeType type_of(WorkKind kind) {
  switch (kind) {
    case WorkKind::kernel:
    case WorkKind::library:
      return cudaGraphNodeTypeKernel;
    case WorkKind::copy:
      return cudaGraphNodeTypeMemcpy;
    case WorkKind::fill:
      return cudaGraphNodeTypeMemset;
    case WorkKind::event:
      return cudaGraphNodeTypeEmpty;
    case WorkKind::graph:
      return cudaGraphNodeTypeGraph;
  }
  return cudaGraphNodeTypeEmpty;
}

// The reason why a stream's capture cannot be ended, or cudaSuccess.
cudaError_t refuse_end(const CUstream_st* stream, cudaStream_t handle) {
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (!stream->capture) return explain(cudaErrorIllegalState, "the stream is not captured");
  if (stream->capture->origin != handle) return cudaErrorStreamCaptureUnmatched;
  const bool bound = stream->capture->mode != cudaStreamCaptureModeRelaxed;
  if (bound && stream->capture->thread != std::this_thread::get_id())
    return cudaErrorStreamCaptureWrongThread;
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", Rule::device, [&]() -> cudaError_t {
    CUstream_st* stream = state().streams.find(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (handle == nullptr)
      return explain(cudaErrorStreamCaptureUnsupported, "the null stream cannot be captured");
    if (stream->capture) return explain(cudaErrorIllegalState, "the stream is captured already");
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = handle;
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  *graph = nullptr;
  const std::lock_guard<std::recursive_mutex> guard(state().lock);
  std::unique_ptr<CUgraph_st> made;
  // Ends the capture even if a fault is injected here or the device is lost; the graph is kept only if neither is so.
  const cudaError_t code = call("cudaStreamEndCapture", Rule::release, [&]() -> cudaError_t {
    CUstream_st* stream = state().streams.find(handle);
    if (const cudaError_t refused = refuse_end(stream, handle); refused != cudaSuccess) return refused;
    const std::shared_ptr<Capture> capture = stream->capture;
    for (const auto& [other, joined] : state().streams.streams) {
      if (joined->capture == capture) joined->capture.reset();
    }
    if (capture->invalidated) return cudaErrorStreamCaptureInvalidated;
    made = std::make_unique<CUgraph_st>();
    for (Work& work : capture->nodes) made->nodes.push_back({std::move(work)});
    return cudaSuccess;
  });
  if (code == cudaSuccess) *graph = state().streams.graphs.add(std::move(made));
  return code;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", Rule::device, [&]() -> cudaError_t {
    const CUstream_st* stream = state().streams.find(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    *status = cudaStreamCaptureStatusNone;
    if (stream->capture) {
      *status =
          stream->capture->invalidated ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  return call("cudaGraphCreate", Rule::device, [&] {
    *graph = state().streams.graphs.add(std::make_unique<CUgraph_st>());
    return cudaSuccess;
  });
}

cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t original) {
  return call("cudaGraphClone", Rule::device, [&]() -> cudaError_t {
    if (!state().streams.graphs.has(original)) return cudaErrorInvalidValue;
    *clone = state().streams.graphs.add(std::make_unique<CUgraph_st>(*original));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy", Rule::release,
              [&] { return state().streams.graphs.remove(graph) ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return call("cudaGraphGetNodes", Rule::device, [&]() -> cudaError_t {
    if (!state().streams.graphs.has(graph)) return cudaErrorInvalidValue;
    if (nodes != nullptr) {
      for (std::size_t i = 0; i < std::min(*count, graph->nodes.size()); ++i) nodes[i] = &graph->nodes[i];
    }
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return call("cudaGraphNodeGetType", Rule::device, [&] {
    *type = type_of(node->work.kind);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t*,
                                       std::size_t, cudaGraph_t child) {
  return call("cudaGraphAddChildGraphNode", Rule::device, [&]() -> cudaError_t {
    auto& graphs = state().streams.graphs;
    if (!graphs.has(graph) || !graphs.has(child)) return cudaErrorInvalidValue;
    auto parts = std::make_shared<const std::vector<Work>>(flat_nodes(*child));
    graph->nodes.push_back({{WorkKind::graph, "graph", nullptr, std::move(parts)}});
    *node = &graph->nodes.back();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", Rule::device, [&]() -> cudaError_t {
    if (!state().streams.graphs.has(graph)) return cudaErrorInvalidValue;
    auto made = std::make_unique<CUgraphExec_st>();
    made->work = std::make_shared<const std::vector<Work>>(flat_nodes(*graph));
    state().counts.last_graph = kernels(*made->work);
    *exec = state().streams.execs.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  return call("cudaGraphUpload", Rule::device,
              [&] { return state().streams.execs.has(exec) ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return call("cudaGraphLaunch", Rule::device, [&]() -> cudaError_t {
    if (!state().streams.execs.has(exec)) return explain(cudaErrorInvalidValue, "a graph that is no more");
    return state().streams.submit(stream, {WorkKind::graph, "graph", nullptr, exec->work});
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy", Rule::release,
              [&] { return state().streams.execs.remove(exec) ? cudaSuccess : cudaErrorInvalidValue; });
}

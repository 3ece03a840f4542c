// Replaces NCCL between ranks that are threads of one process. A group of sends and receives is one piece of work on its stream; while
// it waits for a peer's message, the emulator works for the other threads. As with the real one, a rank whose peer is gone is told so
// by ncclCommGetAsyncError, and what it should have received is undefined.
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <nccl.h>
#include <vector>

#include "tests/emulator/state.hpp"

namespace emulator {
namespace {

// What the ranks of one unique id share.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int, int>, std::deque<std::vector<char>>> boxes;  // [from, to]
  std::map<int, bool> gone;                                            // of those that have come
  int size = 0;
};

struct Transfer {
  bool sends = false;
  char* data = nullptr;
  std::size_t bytes = 0;
  int peer = 0;
};

struct Group {
  int depth = 0;
  std::vector<Transfer> transfers;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
};

thread_local Group group;

std::shared_ptr<World> world_of(const ncclUniqueId& id) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<World>> worlds;
  const std::scoped_lock lock(mutex);
  std::weak_ptr<World>& known = worlds[std::string(id.internal, sizeof id.internal)];
  std::shared_ptr<World> world = known.lock();
  if (world == nullptr) known = world = std::make_shared<World>();
  return world;
}

}  // namespace
}  // namespace emulator

struct ncclComm {
  std::shared_ptr<emulator::World> world;
  int rank = 0;
  ncclResult_t error = ncclSuccess;
};

namespace emulator {
namespace {

void send(const ncclComm& comm, const Transfer& t) {
  const std::scoped_lock lock(comm.world->mutex);
  comm.world->boxes[{comm.rank, t.peer}].emplace_back(t.data, t.data + t.bytes);
  comm.world->changed.notify_all();
}

// Runs under the emulator's lock, which it gives up while it waits.
void receive(ncclComm& comm, const Transfer& t) {
  World& world = *comm.world;
  std::vector<char> message;
  state().lock.unlock();
  {
    std::unique_lock lock(world.mutex);
    auto& box = world.boxes[{t.peer, comm.rank}];
    world.changed.wait(lock, [&] { return !box.empty() || world.gone[t.peer]; });
    if (!box.empty()) {
      message = std::move(box.front());
      box.pop_front();
    }
  }
  state().lock.lock();
  if (message.size() != t.bytes) {
    comm.error = message.empty() ? ncclRemoteError : ncclInvalidUsage;
    return;
  }
  std::memcpy(t.data, message.data(), t.bytes);
}

void run_group(const std::shared_ptr<ncclComm>& comm, const std::vector<Transfer>& transfers) {
  for (const Transfer& t : transfers)
    if (t.sends) send(*comm, t);
  for (const Transfer& t : transfers)
    if (!t.sends) receive(*comm, t);
}

// Comms by handle: work that is queued keeps its own alive.
std::map<ncclComm_t, std::shared_ptr<ncclComm>>& comms() {
  static std::map<ncclComm_t, std::shared_ptr<ncclComm>> all;
  return all;
}

ncclResult_t add(const Transfer& transfer, ncclComm_t comm, cudaStream_t stream) {
  if (group.depth == 0) return ncclInvalidUsage;  // the project groups all of its calls
  group.transfers.push_back(transfer);
  group.comm = comm;
  group.stream = stream;
  return ncclSuccess;
}

ncclResult_t leave(ncclComm_t comm) {
  const std::lock_guard guard(state().lock);
  const auto found = comms().find(comm);
  if (found == comms().end()) return ncclInvalidArgument;
  World& world = *comm->world;
  {
    const std::scoped_lock lock(world.mutex);
    world.gone[comm->rank] = true;
    world.changed.notify_all();
  }
  comms().erase(found);
  return ncclSuccess;
}

}  // namespace
}  // namespace emulator

using emulator::group;
using emulator::state;

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::mutex mutex;
  static unsigned ids = 0;
  const std::scoped_lock lock(mutex);
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "%u", ids++);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;
  if (emulator::library_call("ncclCommInitRankConfig") != cudaSuccess) return ncclUnhandledCudaError;
  auto made = std::make_shared<ncclComm>();
  made->world = emulator::world_of(id);
  made->rank = rank;
  {
    const std::scoped_lock lock(made->world->mutex);
    made->world->size = ranks;
    made->world->gone[rank] = false;
  }
  const std::lock_guard guard(state().lock);
  *comm = made.get();
  emulator::comms()[*comm] = std::move(made);
  return ncclInProgress;
}

ncclResult_t ncclCommFinalize(ncclComm_t) {
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  return emulator::leave(comm);
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  return emulator::leave(comm);
}

// The start goes on until all ranks have come.
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* result) {
  const std::lock_guard guard(state().lock);
  const std::scoped_lock lock(comm->world->mutex);
  const bool all = static_cast<int>(comm->world->gone.size()) == comm->world->size;
  *result = all ? comm->error : ncclInProgress;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error" : "emulated error";
}
const char* ncclGetLastError(ncclComm_t) {
  return "emulated";
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return emulator::add({true, static_cast<char*>(const_cast<void*>(data)), count, peer}, comm, stream);
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return emulator::add({false, static_cast<char*>(data), count, peer}, comm, stream);
}

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

// Its launch is counted, and may be made to fail, as "nccl group".
ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return ncclInvalidUsage;
  const emulator::Group own = std::exchange(group, {});
  if (own.transfers.empty()) return ncclSuccess;
  std::shared_ptr<ncclComm> comm;
  {
    const std::lock_guard guard(state().lock);
    comm = emulator::comms().at(own.comm);
  }
  const auto run = [comm, transfers = own.transfers] { emulator::run_group(comm, transfers); };
  return emulator::enqueue(own.stream, "nccl group", run, own.comm) == cudaSuccess ? ncclSuccess
                                                                                   : ncclUnhandledCudaError;
}

// A stand-in for NVIDIA's driver library, libcuda.so.1: as much of it as the backend's driver and cuda-core
// call.
//
// One card whose memory is the host's. Kernels run on the kernels compiled for the host
// (OSTINATO_HOST_KERNELS is that library's path), in order and at once; only the persistent kernel runs
// beside its caller, and what follows it in the stream waits for it. A cubin is the name of its kernel.
// Pointers that were not allocated, launches outside a card's limits and unknown kernels fail. A real cubin
// (a prompt kernel) is taken, its launches do nothing. OSTINATO_CAPABILITY is the card's compute capability,
// 75 for 7.5.
#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

enum Status { kOk = 0, kInvalid = 1, kOutOfMemory = 2, kNotFound = 500, kNotReady = 600 };
constexpr size_t kMemory = size_t{1} << 30;
constexpr int kMultiprocessors = 2;
constexpr char kPromptKernel[] =
    "\x7f"
    "ELF";

int number(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : otherwise;
}

struct HostKernels {
  void (*launch)(const void*, int32_t, uint32_t, int32_t, int32_t);
  void* (*decode)(const void*, int32_t, int32_t);
  void (*wait)(void*);

  HostKernels() {
    const char* path = std::getenv("OSTINATO_HOST_KERNELS");
    void* library = path ? dlopen(path, RTLD_NOW) : nullptr;
    if (!library) std::abort();
    launch = reinterpret_cast<decltype(launch)>(dlsym(library, "ostinato_launch"));
    decode = reinterpret_cast<decltype(decode)>(dlsym(library, "ostinato_decode"));
    wait = reinterpret_cast<decltype(wait)>(dlsym(library, "ostinato_wait"));
  }
};

const HostKernels& host() {
  static const HostKernels kernels;
  return kernels;
}

// A persistent launch that may still run.
struct Running {
  std::atomic<bool> done{false};
  std::thread thread;
  ~Running() { thread.join(); }
};

struct Kernel {
  std::string name;
};
struct Graph {
  std::vector<std::function<void()>> launches;
};
struct Stream {
  std::shared_ptr<Running> running;
  std::unique_ptr<Graph> capture;

  void wait() {
    while (running && !running->done) std::this_thread::yield();
    running.reset();
  }
  void run(std::function<void()> work) {
    if (capture) {
      capture->launches.push_back(std::move(work));
    } else {
      wait();
      work();
    }
  }
};
struct Event {
  std::shared_ptr<Running> before;
};
struct LaunchConfig {
  uint32_t grid_x, grid_y, grid_z, block_x, block_y, block_z, shared;
  Stream* stream;
  struct Attribute {
    uint32_t id;
    char pad[4];
    char value[64];
  } const* attributes;
  uint32_t count;

  bool cooperative() const {
    constexpr uint32_t kCooperative = 2;
    for (uint32_t i = 0; i < count; ++i) {
      if (attributes[i].id == kCooperative && attributes[i].value[0]) return true;
    }
    return false;
  }
};

std::map<uintptr_t, size_t> memory, pinned;
size_t used;
int context_of_all;

int allocate(std::map<uintptr_t, size_t>& from, uintptr_t* out, size_t bytes) {
  if (bytes == 0) return kInvalid;
  if (used + bytes > kMemory) return kOutOfMemory;
  used += bytes;
  *out = reinterpret_cast<uintptr_t>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  std::memset(reinterpret_cast<void*>(*out), 0xff, bytes);
  from[*out] = bytes;
  return kOk;
}

int release(std::map<uintptr_t, size_t>& from, uintptr_t address) {
  const auto found = from.find(address);
  if (found == from.end()) return kInvalid;
  used -= found->second;
  std::free(reinterpret_cast<void*>(address));
  from.erase(found);
  return kOk;
}

bool inside(uintptr_t address, size_t bytes) {
  for (const auto* kept : {&memory, &pinned}) {
    auto after = kept->upper_bound(address);
    if (after == kept->begin()) continue;
    --after;
    if (address + bytes <= after->first + after->second) return true;
  }
  return false;
}

int launch_decode(Stream& stream, const LaunchConfig& config, const void* machine) {
  if (stream.capture || !config.cooperative()) return kInvalid;
  stream.wait();
  auto running = std::make_shared<Running>();
  void* launched = host().decode(machine, config.grid_x, 2);
  running->thread = std::thread([state = running.get(), launched] {
    host().wait(launched);
    state->done = true;
  });
  stream.running = running;
  return kOk;
}

}  // namespace

extern "C" {

int cuInit(uint32_t) { return number("OSTINATO_INIT", kOk); }
int cuDriverGetVersion(int* version) {
  *version = 13020;
  return kOk;
}
int cuGetErrorName(int status, const char** text) {
  *text = status == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OF_THE_STAND_IN";
  return kOk;
}
int cuGetErrorString(int status, const char** text) { return cuGetErrorName(status, text); }
int cuGetProcAddress_v2(const char* name, void** function, int, uint64_t, int* found) {
  *function = dlsym(RTLD_DEFAULT, name);
  if (found) *found = *function ? 0 : 1;
  return kOk;
}

int cuDeviceGetCount(int* count) {
  *count = number("OSTINATO_CARDS", 1);
  return kOk;
}
int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? kOk : kInvalid;
}
int cuDeviceGetName(char* name, int size, int) {
  std::snprintf(name, size, "Stand-in");
  return kOk;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = kMemory;
  return kOk;
}
int cuDeviceTotalMem(size_t* bytes, int device) { return cuDeviceTotalMem_v2(bytes, device); }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  const int capability = number("OSTINATO_CAPABILITY", 75);
  const std::map<int, int> known = {
      {75, capability / 10}, {76, capability % 10}, {16, kMultiprocessors}, {17, 0}, {95, 1}};
  const auto found = known.find(attribute);
  *value = found == known.end() ? 0 : found->second;
  return kOk;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &context_of_all;
  return kOk;
}
int cuDevicePrimaryCtxRelease(int) { return kOk; }
int cuCtxSetCurrent(void*) { return kOk; }
int cuCtxGetCurrent(void** context) { return cuDevicePrimaryCtxRetain(context, 0); }
int cuCtxPushCurrent(void*) { return kOk; }
int cuCtxPopCurrent(void** context) { return cuCtxGetCurrent(context); }
int cuCtxGetDevice(int* device) { return cuDeviceGet(device, 0); }
int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = *greatest = 0;
  return kOk;
}

int cuStreamCreateWithPriority(Stream** stream, uint32_t, int) {
  *stream = new Stream;
  return kOk;
}
int cuStreamDestroy(Stream* stream) {
  stream->wait();
  delete stream;
  return kOk;
}
int cuStreamSynchronize(Stream* stream) {
  stream->wait();
  return kOk;
}
int cuStreamWaitEvent(Stream* stream, Event* event, uint32_t) {
  stream->wait();
  stream->running = event->before;
  return kOk;
}
int cuStreamGetCtx(Stream*, void** context) { return cuCtxGetCurrent(context); }
int cuStreamBeginCapture(Stream* stream, int) {
  stream->capture = std::make_unique<Graph>();
  return kOk;
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
  *graph = stream->capture.release();
  return kOk;
}
int cuStreamGetCaptureInfo(Stream* stream, int* status, uint64_t* id, Graph** graph,
                           const void*** dependencies, const void** edges, size_t* count) {
  *status = stream->capture != nullptr;
  if (id) *id = 1;
  if (graph) *graph = stream->capture.get();
  if (dependencies) *dependencies = nullptr;
  if (edges) *edges = nullptr;
  if (count) *count = 0;
  return kOk;
}
int cuStreamIsCapturing(Stream* stream, int* status) {
  *status = stream->capture != nullptr;
  return kOk;
}

int cuEventCreate(Event** event, uint32_t) {
  *event = new Event;
  return kOk;
}
int cuEventRecord(Event* event, Stream* stream) {
  event->before = stream->running;
  return kOk;
}
int cuEventQuery(Event* event) { return !event->before || event->before->done ? kOk : kNotReady; }
int cuEventSynchronize(Event* event) {
  while (cuEventQuery(event) != kOk) std::this_thread::yield();
  return kOk;
}
int cuEventDestroy(Event* event) {
  delete event;
  return kOk;
}

int cuMemGetInfo(size_t* free_bytes, size_t* total) {
  *free_bytes = kMemory - used;
  *total = kMemory;
  return kOk;
}
int cuMemAlloc(uintptr_t* address, size_t bytes) { return allocate(memory, address, bytes); }
int cuMemFree(uintptr_t address) { return release(memory, address); }
int cuMemHostAlloc(void** address, size_t bytes, uint32_t) {
  return allocate(pinned, reinterpret_cast<uintptr_t*>(address), bytes);
}
int cuMemFreeHost(void* address) { return release(pinned, reinterpret_cast<uintptr_t>(address)); }
int cuMemcpyAsync(uintptr_t to, uintptr_t from, size_t bytes, Stream* stream) {
  if (!inside(to, bytes) || !inside(from, bytes)) return kInvalid;
  stream->run([=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
  return kOk;
}

int cuLibraryLoadData(Kernel** library, const void* code, void*, void*, uint32_t, void*, void*, uint32_t) {
  *library = new Kernel{std::memcmp(code, kPromptKernel, 4) ? static_cast<const char*>(code) : kPromptKernel};
  return kOk;
}
int cuLibraryUnload(Kernel* library) {
  delete library;
  return kOk;
}
int cuLibraryGetKernel(Kernel** kernel, Kernel* library, const char* name) {
  *kernel = library;
  return library->name == name || library->name == kPromptKernel ? kOk : kNotFound;
}
int cuKernelGetFunction(void** function, Kernel* kernel) {
  *function = kernel;
  return kOk;
}
int cuKernelSetAttribute(int, int bytes, Kernel*, int) { return bytes <= 227 << 10 ? kOk : kInvalid; }
int cuKernelGetLibrary(Kernel** library, Kernel* kernel) {
  *library = kernel;
  return kOk;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int threads, size_t) {
  *blocks = 2048 / threads;
  return kOk;
}
int cuLaunchKernelEx(const LaunchConfig* config, Kernel* kernel, void** arguments, void**) {
  const uint32_t threads = config->block_x * config->block_y * config->block_z;
  if (config->grid_x == 0 || config->grid_y == 0 || threads == 0 || threads > 1024) return kInvalid;
  if (kernel->name == kPromptKernel)
    return inside(*static_cast<const uintptr_t*>(arguments[0]), 1) ? kOk : kInvalid;
  const uintptr_t machine = *static_cast<const uintptr_t*>(arguments[0]);
  if (!inside(machine, 1)) return kInvalid;
  const void* fields = reinterpret_cast<const void*>(machine);
  if (kernel->name == "decode") return launch_decode(*config->stream, *config, fields);
  const int32_t call = *static_cast<const int32_t*>(arguments[1]);
  const uint32_t flags = *static_cast<const uint32_t*>(arguments[2]);
  config->stream->run([=] { host().launch(fields, call, flags, 2, 2); });
  return kOk;
}

int cuGraphInstantiateWithParams(Graph** out, Graph* graph, void* parameters) {
  *out = new Graph(*graph);
  std::memset(static_cast<char*>(parameters) + 24, 0,
              4);  // the result of CUDA_GRAPH_INSTANTIATE_PARAMS: success
  return kOk;
}
int cuGraphLaunch(Graph* graph, Stream* stream) {
  for (const auto& launch : graph->launches) stream->run(launch);
  return kOk;
}
int cuGraphDestroy(Graph* graph) {
  delete graph;
  return kOk;
}
// What cuda-core hangs on graphs: nothing here.
int cuUserObjectCreate(void** object, void*, void (*)(void*), uint32_t, uint32_t) {
  *object = &context_of_all;
  return kOk;
}
int cuUserObjectRelease(void*, uint32_t) { return kOk; }
int cuGraphRetainUserObject(Graph*, void*, uint32_t, uint32_t) { return kOk; }
int cuGraphReleaseUserObject(Graph*, void*, uint32_t) { return kOk; }
int cuGraphExecDestroy(Graph* graph) { return cuGraphDestroy(graph); }

// For the test: what was allocated and not given back.
size_t stand_in_used() { return used; }
}

#include "cuda/graph.h"

namespace fewstep::cuda {
namespace {

// The graph that a capture leaves.
class Captured {
 public:
  Captured(Stream& stream, const std::function<void()>& record) : stream_(stream) {
    Driver& driver = stream.driver();
    // Other threads may allocate while this one captures.
    driver.check(driver->stream_begin_capture(stream.handle(), kCaptureThreadLocal), "cuStreamBeginCapture");
    try {
      record();
    } catch (...) {
      driver->stream_end_capture(stream.handle(), &handle_);
      destroy();
      throw;
    }
    const Result result = driver->stream_end_capture(stream.handle(), &handle_);
    if (result == 0) return;
    destroy();
    driver.fail(result, "cuStreamEndCapture");
  }
  ~Captured() { destroy(); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  GraphHandle handle() const noexcept { return handle_; }

 private:
  void destroy() noexcept {
    if (handle_ != nullptr && !stream_.driver().dead()) stream_.driver()->graph_destroy(handle_);
    handle_ = nullptr;
  }

  Stream& stream_;
  GraphHandle handle_ = nullptr;
};

}  // namespace

Graph::Graph(Stream& stream, const std::function<void()>& record) : stream_(stream) {
  Driver& driver = stream.driver();
  const Captured captured(stream, record);
  driver.check(driver->graph_instantiate(&executable_, captured.handle(), 0), "cuGraphInstantiate");
  const Result result = driver->graph_upload(executable_, stream.handle());
  if (result == 0) return;
  if (!driver.dead()) driver->graph_exec_destroy(executable_);
  driver.fail(result, "cuGraphUpload");
}

Graph::~Graph() {
  stream_.context().release([this] { stream_.driver()->graph_exec_destroy(executable_); });
}

void Graph::launch() {
  stream_.driver().check(stream_.driver()->graph_launch(executable_, stream_.handle()), "cuGraphLaunch");
}

}  // namespace fewstep::cuda

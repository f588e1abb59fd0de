#include "cuda/stream.h"

#include "cuda/fault.h"

namespace fewstep::cuda {

Stream::Stream(const Context& context) : context_(context) {
  driver().check(driver()->stream_create(&handle_, kStreamNonBlocking), "cuStreamCreate");
}

Stream::~Stream() {
  context_.release([this] {
    const Result result = driver()->stream_synchronize(handle_);  // memory given back in its order is back
    if (result == 0 || fault_of(result) != Fault::fatal) driver()->stream_destroy(handle_);
  });
}

void Stream::settle() {
  if (driver().dead()) return;
  const Result result = driver()->stream_synchronize(handle_);
  if (result != 0 && fault_of(result) == Fault::fatal) driver().fail(result, "cuStreamSynchronize");
}

}  // namespace fewstep::cuda

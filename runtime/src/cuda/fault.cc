#include "cuda/fault.h"

namespace fewstep::cuda {

Fault fault_of(Result result) noexcept {
  switch (result) {
    case 2:  // out of memory
      return Fault::out_of_memory;
    case 900:  // stream capture: unsupported, invalidated, merge, unmatched, unjoined, isolation, implicit
    case 901:
    case 902:
    case 903:
    case 904:
    case 905:
    case 906:
    case 907:  // captured event
    case 908:  // capture by another thread
    case 910:  // graph update
      return Fault::capture;
    case 1:   // invalid value: this launch or this size is not for this device
    case 34:  // stub library
    case 36:  // newer driver needed
    case 46:  // device unavailable, none, invalid, not licensed
    case 100:
    case 101:
    case 102:
    case 200:  // invalid image, no binary for this GPU
    case 209:
    case 218:  // PTX: invalid, no compiler, unsupported version, compilation disabled
    case 221:
    case 222:
    case 223:
    case 301:  // library: file, symbol, initialisation
    case 302:
    case 303:
    case 500:  // no such function
    case 701:  // launch out of resources
    case 800:  // not permitted, not supported
    case 801:
    case 802:  // system not ready, driver mismatch, device unknown to the compatibility package
    case 803:
    case 804:
    case 805:  // MPS: connection, call, not ready, too many clients or connections
    case 806:
    case 807:
    case 808:
    case 809:
    case 912:  // cluster size
      return Fault::unavailable;
    default:
      return Fault::fatal;
  }
}

}  // namespace fewstep::cuda

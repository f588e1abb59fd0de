#pragma once

#include "cuda/driver.h"
#include "fewstep/op.h"

namespace fewstep::cuda {

// Encodes a tensor map for a tensor that begins at the address. Throws DeviceError: unavailable, if the driver refuses.
void encode(Driver& driver, const TensorMap& map, Address address, EncodedTensorMap* encoded);

}  // namespace fewstep::cuda

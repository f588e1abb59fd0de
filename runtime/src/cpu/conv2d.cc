#include "cpu/convolution.h"

namespace fewstep::cpu {

std::unique_ptr<Kernel> make_conv2d(const Problem& problem) {
  const Convolution convolution(problem);
  return fits_winograd(convolution) ? make_winograd(convolution) : make_direct(convolution);
}

}  // namespace fewstep::cpu

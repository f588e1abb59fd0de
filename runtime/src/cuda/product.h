#pragma once

#include <memory>
#include <string>

#include "cuda/addresses.h"
#include "cuda/blaslt.h"
#include "fewstep/plan.h"

namespace fewstep::cuda {

// A product of a plan by cuBLASLt: its descriptors and its algorithm, found when it is made.
//
// 1. enqueue makes one call of the library, and allocates nothing of ours.
class PreparedProduct {
 public:
  // What is handed over outlives this. Throws DeviceError: unavailable, if the library knows no algorithm.
  PreparedProduct(Blaslt& blaslt, const Plan& plan, const Op& op, const LibraryProduct& product,
                  const Addresses& addresses);

  void enqueue(Stream& stream, Moment moment);

 private:
  template <typename T>
  using Owned = std::unique_ptr<T, BlasltStatus (*)(T*)>;
  struct Layout;  // of a matrix, as the library sees it

  Owned<LayoutObject> layout(const Layout& layout);
  void describe(const Layout& first, const Layout& second);
  void find_algorithm();
  std::uint32_t alignment(std::int32_t value) const;

  Blaslt& blaslt_;
  const Op& op_;
  const LibraryProduct& product_;
  const Addresses& addresses_;
  Owned<ProductObject> description_;
  Owned<LayoutObject> first_, second_, result_;  // b, a and y, transposed
  Algorithm algorithm_{};
  Address workspace_ = 0;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace fewstep::cuda

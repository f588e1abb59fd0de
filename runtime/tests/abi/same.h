#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>

// Assertions that what src/cuda declares anew is what a header of NVIDIA's says.
namespace fewstep::cuda {}
namespace ours = fewstep::cuda;

template <typename>
struct Signature;
template <typename R, typename... A>
struct Signature<R (*)(A...)> {
  static constexpr std::size_t sizes[] = {sizeof(A)..., sizeof(R)};
  static constexpr bool pointers[] = {std::is_pointer_v<A>..., false};
};

// As many parameters, each of the same size and a pointer or none.
template <typename Ours, typename Theirs>
constexpr bool agree() {
  using A = Signature<Ours>;
  using B = Signature<Theirs>;
  if (std::size(A::sizes) != std::size(B::sizes)) return false;
  for (std::size_t i = 0; i < std::size(A::sizes); ++i) {
    if (A::sizes[i] != B::sizes[i] || A::pointers[i] != B::pointers[i]) return false;
  }
  return true;
}

#define SAME_FUNCTION(table, member, function) \
  static_assert(agree<decltype(ours::table::member), decltype(&function)>(), #function)
#define SAME_FIELD(type, field, theirs, theirs_field) \
  static_assert(offsetof(ours::type, field) == offsetof(theirs, theirs_field), #theirs_field)
#define SAME_VALUE(constant, theirs) \
  static_assert(static_cast<int>(ours::constant) == static_cast<int>(theirs), #theirs)

#include "cpu/transfer.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"

namespace {

using fewstep::Dtype;
using fewstep::Value;
using Shape = std::vector<std::int64_t>;

// The address of every element by the definition of a view, against both copies; what lies between stays as it was.
void check(Dtype dtype, const Shape& shape, const Shape& strides) {
  const Value value{dtype, shape, strides};
  const std::size_t size = bytes_of(dtype);
  std::vector<std::int64_t> places{0};
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    std::vector<std::int64_t> next;
    for (const std::int64_t place : places) {
      for (std::int64_t i = 0; i < shape[axis]; ++i) next.push_back(place + i * strides[axis]);
    }
    places = next;
  }
  std::int64_t last = 0;
  for (const std::int64_t place : places) last = std::max(last, place);
  std::vector<std::byte> packed(places.size() * size), again(packed.size());
  for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = static_cast<std::byte>(i * 7 + 1);
  std::vector<std::byte> view(static_cast<std::size_t>(last + 1) * size, std::byte{0xee}), expected = view;
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::memcpy(&expected[static_cast<std::size_t>(places[i]) * size], &packed[i * size], size);
  }
  fewstep::cpu::copy_in(value, view.data(), packed.data());
  CHECK(view == expected);
  fewstep::cpu::copy_out(value, view.data(), again.data());
  CHECK(again == packed);
}

}  // namespace

int main() {
  for (const Dtype dtype : {Dtype::f32, Dtype::i64, Dtype::u8, Dtype::f16}) {
    check(dtype, {}, {});
    check(dtype, {1}, {9});
    check(dtype, {7}, {1});
    check(dtype, {5}, {3});
    check(dtype, {2, 3, 4, 5}, {60, 20, 5, 1});
    check(dtype, {2, 3, 4, 5}, {60, 1, 15, 3});   // channels-last
    check(dtype, {2, 3, 4, 5}, {100, 30, 6, 1});  // a slice
    check(dtype, {2, 35, 3, 7}, {735, 1, 245, 35});
    check(dtype, {3, 2, 37}, {74, 1, 2});
    check(dtype, {2, 3, 20}, {130, 2, 6});  // with gaps
    check(dtype, {1, 3, 1, 2}, {1, 2, 50, 1});
  }
  const Value repeated{Dtype::u8, {2, 3}, {1, 0}};
  const std::vector<std::byte> pair{std::byte{4}, std::byte{9}};
  std::vector<std::byte> six(6);
  fewstep::cpu::copy_out(repeated, pair.data(), six.data());
  CHECK((six == std::vector<std::byte>{pair[0], pair[0], pair[0], pair[1], pair[1], pair[1]}));
}

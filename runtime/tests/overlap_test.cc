#include "plan/overlap.h"

#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "check.h"

namespace {

using fewstep::Dtype;
using fewstep::Value;

// The address of each byte of a view, one by one.
std::vector<std::int64_t> bytes_by_hand(const Value& value, std::int64_t moved) {
  std::vector<std::int64_t> out{value.offset + moved};
  for (std::size_t axis = 0; axis < value.shape.size(); ++axis) {
    std::vector<std::int64_t> next;
    for (std::int64_t i = 0; i < value.shape[axis]; ++i) {
      for (const std::int64_t at : out) next.push_back(at + i * value.strides[axis]);
    }
    out = std::move(next);
  }
  const auto size = static_cast<std::int64_t>(fewstep::bytes_of(value.dtype));
  std::vector<std::int64_t> bytes;
  for (const std::int64_t at : out) {
    for (std::int64_t k = 0; k < size; ++k) bytes.push_back(at * size + k);
  }
  return bytes;
}

Value image(std::int64_t channels, std::int64_t first, std::int64_t of) {  // (2, C, 3, 4), channels innermost
  return {Dtype::f32, {2, channels, 3, 4}, {12 * of, 1, 4 * of, of}, first, 0, 0, 0, -1};
}

void test_slices_of_channels_are_disjoint() {
  const fewstep::Last last;
  CHECK(fewstep::are_disjoint(image(3, 0, 8), image(5, 3, 8), last));
  CHECK(!fewstep::are_disjoint(image(4, 0, 8), image(5, 3, 8), last));
  CHECK(!fewstep::are_disjoint(image(3, 0, 8), image(3, 0, 8), last));
  Value elsewhere = image(3, 0, 8);
  elsewhere.buffer = 1;
  CHECK(fewstep::are_disjoint(image(3, 0, 8), elsewhere, last));
}

void test_views_that_move_apart() {
  Value a{Dtype::f32, {4}, {1}, 0, 0, 4, 0, -1}, b = a;
  b.offset = 4;
  const fewstep::Last last{.row = 0, .step = 3};
  CHECK(fewstep::are_disjoint(a, b, last));  // they move alike
  b.step = 0;
  CHECK(!fewstep::are_disjoint(a, b, last));  // a comes to where b stays
  b.offset = 16;
  CHECK(fewstep::are_disjoint(a, b, last));
}

// What is called injective or disjoint is so by hand; and most of what is so by hand is found to be.
void test_random_views() {
  std::mt19937 random(1);
  const auto below = [&](int limit) { return static_cast<std::int64_t>(random() % static_cast<unsigned>(limit)); };
  const auto view = [&] {
    Value out;
    out.dtype = below(4) == 0 ? Dtype::i64 : below(3) == 0 ? Dtype::u8 : Dtype::f32;
    out.buffer = 0;
    out.offset = below(24);
    constexpr std::int64_t kStrides[] = {0, 1, 1, 2, 3, 4, 6, 8, 12, 24};
    for (std::int64_t axes = below(4); axes > 0; --axes) {
      out.shape.push_back(1 + below(4));
      out.strides.push_back(kStrides[below(10)]);
    }
    return out;
  };
  int injective = 0, injective_by_hand = 0, disjoint = 0, disjoint_by_hand = 0;
  for (int n = 0; n < 20000; ++n) {
    const Value a = view(), b = view();
    const auto bytes_a = bytes_by_hand(a, 0), bytes_b = bytes_by_hand(b, 0);
    const std::set<std::int64_t> set_a(bytes_a.begin(), bytes_a.end());
    const bool is_injective = set_a.size() == bytes_a.size();
    bool is_disjoint = true;
    for (const std::int64_t byte : bytes_b) is_disjoint &= !set_a.contains(byte);
    CHECK(is_injective || !fewstep::is_injective(a));
    CHECK(is_disjoint || !fewstep::are_disjoint(a, b, {}));
    injective += fewstep::is_injective(a);
    injective_by_hand += is_injective;
    disjoint += fewstep::are_disjoint(a, b, {});
    disjoint_by_hand += is_disjoint;
  }
  CHECK(injective * 10 > injective_by_hand * 9);
  CHECK(disjoint * 10 > disjoint_by_hand * 7);
}

void test_reach() {
  std::int64_t end = 0;
  const Value value{Dtype::f32, {2, 3}, {10, 2}, 5, 100, 1000, 0, -1};
  CHECK(fewstep::reach(value, {}, end) && end == 5 + 10 + 4 + 1);
  CHECK(fewstep::reach(value, {.row = 2, .step = 1}, end) && end == 20 + 200 + 1000);
  const std::int64_t huge = std::int64_t{1} << 40;
  const Value far{Dtype::f32, {INT32_MAX}, {huge}, 0, 0, 0, 0, -1};
  CHECK(!fewstep::reach(far, {}, end));
  const Value moved{Dtype::f32, {1}, {1}, 0, huge, huge, 0, -1};
  CHECK(!fewstep::reach(moved, {.row = INT32_MAX, .step = 0}, end));
}

}  // namespace

int main() {
  test_slices_of_channels_are_disjoint();
  test_views_that_move_apart();
  test_random_views();
  test_reach();
}

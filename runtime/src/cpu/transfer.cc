#include "cpu/transfer.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kBlock = 16;  // elements: both sides of a block's copy stay in the first cache

// Elements that are `step` apart.
struct Line {
  std::int64_t size, step;
};

// The axes `axis` and later of a view in row-major order, if one step leads from each element to the next.
std::optional<Line> line_of(const Value& value, std::size_t axis) noexcept {
  Line line{1, 1};
  for (std::size_t i = value.shape.size(); i-- > axis;) {
    if (value.shape[i] == 1) continue;
    if (line.size == 1) line.step = value.strides[i];
    if (value.strides[i] != line.step * line.size) return std::nullopt;
    line.size *= value.shape[i];
  }
  return line;
}

// Rows of a view, `row` apart, each a line; packed, they follow each other.
template <typename View, typename Packed, typename Copy>
void copy_rows(View* view, std::int64_t rows, std::int64_t row, const Line& line, Packed* packed,
               const Copy& copy) noexcept {
  if (line.step == 1) {
    for (std::int64_t r = 0; r < rows; ++r) copy(view + r * row, packed + r * line.size, line.size);
    return;
  }
  for (std::int64_t first_row = 0; first_row < rows; first_row += kBlock) {
    for (std::int64_t first = 0; first < line.size; first += kBlock) {
      for (std::int64_t r = first_row; r < std::min(rows, first_row + kBlock); ++r) {
        for (std::int64_t i = first; i < std::min(line.size, first + kBlock); ++i) {
          copy(view + r * row + i * line.step, packed + r * line.size + i, 1);
        }
      }
    }
  }
}

// Returns where the packed elements go on.
template <typename View, typename Packed, typename Copy>
Packed* walk(const Value& value, std::size_t axis, View* view, Packed* packed, const Copy& copy) noexcept {
  if (const std::optional<Line> line = line_of(value, axis)) {
    copy_rows(view, 1, 0, *line, packed, copy);
    return packed + line->size;
  }
  const std::int64_t size = value.shape[axis], step = value.strides[axis];
  if (const std::optional<Line> line = line_of(value, axis + 1)) {
    copy_rows(view, size, step, *line, packed, copy);
    return packed + size * line->size;
  }
  for (std::int64_t i = 0; i < size; ++i) packed = walk(value, axis + 1, view + i * step, packed, copy);
  return packed;
}

template <typename T>
void in(const Value& value, std::byte* view, const std::byte* packed) noexcept {
  walk(value, 0, reinterpret_cast<T*>(view), reinterpret_cast<const T*>(packed),
       [](T* to, const T* from, std::int64_t n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T)); });
}

template <typename T>
void out(const Value& value, const std::byte* view, std::byte* packed) noexcept {
  walk(value, 0, reinterpret_cast<const T*>(view), reinterpret_cast<T*>(packed),
       [](const T* from, T* to, std::int64_t n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T)); });
}

}  // namespace

void copy_in(const Value& value, std::byte* view, const std::byte* packed) noexcept {
  switch (bytes_of(value.dtype)) {
    case 8:
      return in<std::uint64_t>(value, view, packed);
    case 4:
      return in<std::uint32_t>(value, view, packed);
    case 2:
      return in<std::uint16_t>(value, view, packed);
    default:
      return in<std::uint8_t>(value, view, packed);
  }
}

void copy_out(const Value& value, const std::byte* view, std::byte* packed) noexcept {
  switch (bytes_of(value.dtype)) {
    case 8:
      return out<std::uint64_t>(value, view, packed);
    case 4:
      return out<std::uint32_t>(value, view, packed);
    case 2:
      return out<std::uint16_t>(value, view, packed);
    default:
      return out<std::uint8_t>(value, view, packed);
  }
}

}  // namespace fewstep::cpu

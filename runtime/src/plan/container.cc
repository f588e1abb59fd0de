#include "plan/container.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "fewstep/error.h"
#include "plan/checked.h"
#include "plan/fields.h"
#include "plan/json.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostHeader = 100'000'000;  // of the official library
constexpr std::size_t kMostTensors = 1 << 17, kMostName = 512, kMostRank = 8, kMostMetadata = 64;
constexpr std::int64_t kMostElements = std::int64_t{1} << 48;
constexpr std::string_view kMetadata = "__metadata__";

struct Entry {
  Weight tensor;
  std::int64_t begin = 0, end = 0;
};

Dtype dtype(const Place& place, const Json& json) {
  const std::string& name = text(place, json, 16);
  if (name == "F32") return Dtype::f32;
  if (name == "F16") return Dtype::f16;
  if (name == "BF16") return Dtype::bf16;
  if (name == "I64") return Dtype::i64;
  if (name == "I32") return Dtype::i32;
  if (name == "U8") return Dtype::u8;
  place.fail("F32, F16, BF16, I64, I32 or U8", json);
}

Entry entry(const Place& header, const Json::Member& member, std::int64_t room) {
  const std::string name = in_quotes(member.key);
  const Place place(header, name);
  if (member.key.size() > kMostName) {
    place.fail("expected a name of at most 512 bytes, got " + std::to_string(member.key.size()));
  }
  Fields fields(place, member.value);
  Entry out;
  out.tensor.name = member.key;
  out.tensor.dtype = dtype(Place(place, "dtype"), fields.take("dtype"));
  out.tensor.shape = integers(Place(place, "shape"), fields.take("shape"), 0, kMostRank, 0, kMostElements);
  const auto offsets = integers(Place(place, "data_offsets"), fields.take("data_offsets"), 2, 2, 0, room);
  fields.done();
  out.begin = offsets[0];
  out.end = offsets[1];
  std::int64_t elements = 1, bounded = 1;  // bounded: a reader that multiplies in order meets every factor but 0
  for (const std::int64_t size : out.tensor.shape) {
    if (!checked_multiply(bounded, std::max<std::int64_t>(size, 1), bounded) || bounded > kMostElements) {
      place.fail("shape: expected at most " + std::to_string(kMostElements) + " elements");
    }
    elements *= size;
  }
  const std::int64_t bytes = elements * static_cast<std::int64_t>(bytes_of(out.tensor.dtype));
  if (out.end - out.begin != bytes) {
    place.fail("data_offsets: expected " + std::to_string(bytes) + " bytes, got " +
               std::to_string(out.end - out.begin));
  }
  return out;
}

std::map<std::string, std::string> metadata(const Place& place, const Json& json) {
  std::map<std::string, std::string> out;
  for (const Json::Member& member : object(place, json, kMostMetadata)) {
    out.emplace(member.key, text(Place(place, in_quotes(member.key)), member.value, kMostHeader));
  }
  return out;
}

}  // namespace

Container read_container(std::span<const std::byte> file) {
  const Place place("header");
  if (file.size() < 8) place.fail("expected a safetensors file, got " + std::to_string(file.size()) + " bytes");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= std::to_integer<std::uint64_t>(file[i]) << 8 * i;
  const std::uint64_t most = std::min(kMostHeader, file.size() - 8);
  if (length > most) {
    place.fail("expected at most " + std::to_string(most) + " bytes, got " + std::to_string(length));
  }
  const std::string_view words(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (words.empty() || words.front() != '{') {
    place.fail("expected a safetensors file, whose header begins with \"{\", got " + in_quotes(words.substr(0, 8)));
  }
  const Json header = parse_json(words, "header", {.bytes = kMostHeader});
  const std::span<const std::byte> data = file.subspan(8 + length);

  Container out;
  std::vector<Entry> entries;
  for (const Json::Member& member : object(place, header, kMostTensors)) {
    if (member.key == kMetadata) {
      out.metadata = metadata(Place(place, kMetadata), member.value);
    } else {
      entries.push_back(entry(place, member, static_cast<std::int64_t>(data.size())));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::int64_t end = 0;
  for (Entry& item : entries) {
    const std::string name = in_quotes(item.tensor.name);
    if (item.begin != end) {
      Place(place, name)
          .fail("data_offsets: expected " + std::to_string(end) + ", no hole and no overlap, got " +
                std::to_string(item.begin));
    }
    item.tensor.bytes = data.subspan(static_cast<std::size_t>(item.begin), static_cast<std::size_t>(item.end - end));
    if (reinterpret_cast<std::uintptr_t>(item.tensor.bytes.data()) % bytes_of(item.tensor.dtype) != 0) {
      Place(place, name)
          .fail("begins at byte " + std::to_string(8 + length + static_cast<std::uint64_t>(end)) +
                ", which is no multiple of its items' size");
    }
    end = item.end;
    out.tensors.push_back(std::move(item.tensor));
  }
  if (static_cast<std::size_t>(end) != data.size()) {
    place.fail("expected " + std::to_string(end) + " bytes of tensors, got " + std::to_string(data.size()));
  }
  return out;
}

}  // namespace fewstep

#include <cstring>
#include <type_traits>

#include "fewstep/error.h"
#include "plan/image.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::uint16_t kMachineCuda = 190;
constexpr std::uint32_t kNoBits = 8;  // SHT_NOBITS: a section that has a size but no bytes
constexpr std::size_t kMostParams = 4096;

// The formats and one attribute of .nv.info, as cuobjdump --dump-elf prints them.
constexpr std::uint8_t kSized = 4;         // EIFMT_SVAL: 16 bits of size, then that many bytes
constexpr std::uint8_t kParamInfo = 0x17;  // EIATTR_KPARAM_INFO

struct Section {
  std::uint32_t name = 0, type = 0;
  std::uint64_t flags = 0, address = 0, offset = 0, size = 0;
};
static_assert(sizeof(Section) == 40);
constexpr std::size_t kSectionHeader = 64;

[[noreturn]] void fail(const std::string& what) { throw PlanError("not a legal image: " + what); }

std::span<const std::byte> part(std::span<const std::byte> image, std::uint64_t offset, std::uint64_t size) {
  if (offset > image.size() || size > image.size() - offset) fail("it reaches beyond its end");
  return image.subspan(offset, size);
}

template <typename T>
T load(std::span<const std::byte> image, std::uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  T out;
  std::memcpy(&out, part(image, offset, sizeof out).data(), sizeof out);
  return out;
}

std::string_view text_at(std::span<const std::byte> table, std::uint32_t offset) {
  const std::span<const std::byte> rest =
      part(table, offset, table.size() - std::min<std::size_t>(offset, table.size()));
  const auto* begin = reinterpret_cast<const char*>(rest.data());
  const void* end = rest.empty() ? nullptr : std::memchr(begin, 0, rest.size());
  if (end == nullptr) fail("a name without an end");
  return {begin, static_cast<std::size_t>(static_cast<const char*>(end) - begin)};
}

// Each of the parameters once: index u32, ordinal u16, offset u16, and a u32 whose upper 14 bits are the size.
std::vector<std::int64_t> params_of(std::span<const std::byte> info) {
  std::vector<std::int64_t> out;
  std::size_t found = 0;
  for (std::size_t at = 0; at < info.size();) {
    const auto format = load<std::uint8_t>(info, at), attribute = load<std::uint8_t>(info, at + 1);
    const auto size = load<std::uint16_t>(info, at + 2);
    at += 4;
    if (format != kSized) continue;
    const std::span<const std::byte> value = part(info, at, size);
    at += size;
    if (attribute != kParamInfo) continue;
    const std::size_t ordinal = load<std::uint16_t>(value, 4);
    if (ordinal >= kMostParams) fail("it has too many parameters");
    if (ordinal >= out.size()) out.resize(ordinal + 1, -1);
    if (out[ordinal] >= 0) fail("it has a parameter twice");
    out[ordinal] = load<std::uint32_t>(value, 8) >> 18;
    ++found;
  }
  if (found != out.size()) fail("it lacks a parameter");
  return out;
}

}  // namespace

ImageKernel read_cubin(std::span<const std::byte> image, std::string_view entry) {
  constexpr std::string_view kMagic("\177ELF\2\1\1", 7);  // 64 bits, little-endian, version 1
  if (image.size() < 64 || std::memcmp(image.data(), kMagic.data(), kMagic.size()) != 0) fail("it is no ELF file");
  if (load<std::uint16_t>(image, 18) != kMachineCuda) fail("it is not for a GPU");
  const auto table = load<std::uint64_t>(image, 40);
  const auto size = load<std::uint16_t>(image, 58), count = load<std::uint16_t>(image, 60);
  const auto names_index = load<std::uint16_t>(image, 62);
  if (size != kSectionHeader || names_index >= count) fail("its section headers");
  const std::span<const std::byte> headers = part(image, table, std::uint64_t{count} * kSectionHeader);
  const auto section = [&](std::size_t index) { return load<Section>(headers, index * kSectionHeader); };
  const Section names_section = section(names_index);
  const std::span<const std::byte> names = part(image, names_section.offset, names_section.size);

  ImageKernel out;
  bool has_code = false, has_info = false;
  const std::string code = ".text." + std::string(entry), info = ".nv.info." + std::string(entry);
  const std::string shared = ".nv.shared." + std::string(entry);
  for (std::size_t i = 0; i < count; ++i) {
    const Section header = section(i);
    const std::string_view name = text_at(names, header.name);
    if (header.type != kNoBits) part(image, header.offset, header.size);
    if (name == code) has_code = true;
    if (name == shared) out.shared = static_cast<std::int64_t>(std::min<std::uint64_t>(header.size, 1 << 30));
    if (name == info && header.type != kNoBits) {
      out.params = params_of(part(image, header.offset, header.size));
      has_info = true;
    }
  }
  if (!has_code || !has_info) fail("it has no kernel " + in_quotes(entry));
  return out;
}

}  // namespace fewstep

#include "fake_cuda/image.h"

#include <elf.h>

#include <cstdint>
#include <cstring>

namespace fake_cuda {
namespace {

constexpr unsigned kSizedFormat = 4, kRequiredThreads = 0x10, kParamInfo = 0x17, kNewAbi = 8;

template <typename T>
T take(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

// Records of a format byte, an attribute byte and two bytes: a value, or the size of what follows.
void read_info(const std::byte* data, std::size_t size, KernelInfo& kernel) {
  for (std::size_t at = 0; at + 4 <= size;) {
    const auto format = std::to_integer<unsigned>(data[at]), attribute = std::to_integer<unsigned>(data[at + 1]);
    const std::size_t follows = format == kSizedFormat ? take<std::uint16_t>(data + at + 2) : 0;
    const std::byte* record = data + at + 4;
    if (attribute == kParamInfo) {
      const auto ordinal = take<std::uint16_t>(record + 4), offset = take<std::uint16_t>(record + 6);
      if (kernel.params.size() <= ordinal) kernel.params.resize(ordinal + std::size_t{1});
      kernel.params[ordinal] = {offset, take<std::uint32_t>(record + 8) >> 18};
    } else if (attribute == kRequiredThreads) {
      kernel.threads = take<std::uint32_t>(record);
    }
    at += 4 + follows;
  }
}

}  // namespace

std::optional<Image> read_image(const std::byte* data) {
  if (std::memcmp(data, ELFMAG, SELFMAG) != 0) return std::nullopt;
  const auto header = take<Elf64_Ehdr>(data);
  Image image;
  const bool is_new = header.e_ident[EI_ABIVERSION] >= kNewAbi;
  image.architecture = static_cast<int>((is_new ? header.e_flags >> 8 : header.e_flags) & 0xff);
  const auto section = [&](std::size_t i) { return take<Elf64_Shdr>(data + header.e_shoff + i * header.e_shentsize); };
  const auto* names = reinterpret_cast<const char*>(data + section(header.e_shstrndx).sh_offset);
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr found = section(i);
    const std::string name = names + found.sh_name;
    const std::string info = ".nv.info.", shared = ".nv.shared.", reserved = ".nv.shared.reserved";
    if (name.starts_with(info)) {
      read_info(data + found.sh_offset, found.sh_size, image.kernels[name.substr(info.size())]);
    } else if (name.starts_with(shared) && !name.starts_with(reserved)) {
      image.kernels[name.substr(shared.size())].static_shared = static_cast<unsigned>(found.sh_size);
    }
  }
  return image;
}

}  // namespace fake_cuda

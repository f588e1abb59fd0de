#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cuda/addresses.h"
#include "cuda/view_layout.h"

namespace fewstep::cuda {

// The values that a caller writes, or those that he reads, in pinned memory.
//
// 1. Values whose places follow each other on the device, with nothing in between, are one copy.
// 2. None of its calls allocates.
class Exchange {
 public:
  Exchange(const Context& context, const Plan& plan, const Addresses& addresses, std::vector<std::int32_t> values,
           const char* what);

  // Of one value; data of exactly its size, else std::invalid_argument.
  void write(std::int32_t value, std::span<const std::byte> data);
  void read(std::int32_t value, std::span<std::byte> data) const;

  void upload(Stream& stream);  // what was written since the last arrived()
  void arrived() noexcept;
  void download(Stream& stream);
  std::size_t bytes() const noexcept { return pinned_.bytes(); }
  std::size_t copies() const noexcept { return copies_.size(); }

 private:
  struct Slot {
    ViewLayout layout;
    Address address;
    std::size_t host = 0;
    std::size_t first = 0, last = 0;  // its copies
  };
  struct Planned {
    Copy copy;
    bool due = false;
  };
  using Slots = std::map<std::int32_t, Slot>;

  static Slots make_slots(const Plan& plan, const Addresses& addresses, const std::vector<std::int32_t>& values);
  std::size_t arrange(const Plan& plan, const Addresses& addresses);  // fills in the rest; bytes of all
  const Slot& slot(std::int32_t value, std::size_t bytes) const;

  const char* what_;
  Slots slots_;
  std::vector<Planned> copies_;
  PinnedMemory pinned_;
};

}  // namespace fewstep::cuda

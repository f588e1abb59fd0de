#include "pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "check.h"

namespace {

constexpr std::size_t kSize = 8 << 20;

// Bytes of mapped files that this process has in memory.
std::int64_t resident() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t all = 0, in_memory = 0, of_files = 0;
  statm >> all >> in_memory >> of_files;
  CHECK(statm.good());
  return of_files * sysconf(_SC_PAGESIZE);
}

fewstep::Plan plan_of(std::span<const std::byte> bytes, bool mapped) {
  fewstep::Plan plan;
  plan.mapped = mapped;
  plan.weights.push_back({"w", fewstep::Dtype::u8, {}, bytes});
  return plan;
}

bool is_whole(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{7}; });
}

void test_pages_of_a_file_leave_and_come_back() {
  std::FILE* file = std::tmpfile();
  const std::vector<char> sevens(kSize, 7);
  CHECK(file != nullptr && std::fwrite(sevens.data(), 1, kSize, file) == kSize && std::fflush(file) == 0);
  void* data = mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE, fileno(file), 0);
  CHECK(data != MAP_FAILED);
  // Neither end lies on a page's: what shares those pages stays.
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(data) + 64, kSize - 128);
  CHECK(is_whole(bytes));
  const fewstep::Plan plan = plan_of(bytes, true);
  const std::int64_t before = resident();
  fewstep::release_pages(plan, plan.weights[0]);
  CHECK(before - resident() > static_cast<std::int64_t>(kSize) / 4 * 3);
  CHECK(is_whole(bytes));
  munmap(data, kSize);
  std::fclose(file);
}

// The same advice on memory that no file backs would clear it.
void test_memory_of_a_caller_is_kept() {
  const std::vector<std::byte> bytes(kSize, std::byte{7});
  const fewstep::Plan plan = plan_of(bytes, false);
  fewstep::release_pages(plan, plan.weights[0]);
  CHECK(is_whole(bytes));
}

}  // namespace

int main() {
  test_pages_of_a_file_leave_and_come_back();
  test_memory_of_a_caller_is_kept();
}

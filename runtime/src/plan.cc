#include "fewstep/plan.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fewstep/error.h"
#include "plan/check.h"
#include "plan/container.h"
#include "plan/program_json.h"

namespace fewstep {
namespace {

constexpr const char* kKey = "fewstep.plan";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const noexcept { return number_; }

 private:
  int number_;
};

[[noreturn]] void fail(const std::string& what) { throw PlanError(what + ": " + std::strerror(errno)); }

// Read-only and shared with the page cache; unmapped with its last owner.
std::pair<std::span<const std::byte>, std::shared_ptr<const void>> map_file(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a FIFO would wait for its writer.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (file.number() < 0 || fstat(file.number(), &status) != 0) fail("cannot be opened");
  if (!S_ISREG(status.st_mode)) throw PlanError("expected a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) throw PlanError("expected a plan, got an empty file");
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number(), 0);
  if (data == MAP_FAILED) fail("cannot be mapped");
  std::shared_ptr<const void> owner(data, [size](const void* p) { munmap(const_cast<void*>(p), size); });
  return {{static_cast<const std::byte*>(data), size}, std::move(owner)};
}

Plan parsed(std::span<const std::byte> file, std::shared_ptr<const void> storage, bool mapped) {
  Container container = read_container(file);
  const auto found = container.metadata.find(kKey);
  if (found == container.metadata.end() || container.metadata.size() != 1) {
    throw PlanError("expected a plan, whose __metadata__ has the key fewstep.plan alone");
  }
  Draft draft = read_program(found->second, std::move(container.tensors));
  draft.plan.storage = std::move(storage);
  draft.plan.mapped = mapped;
  check_plan(draft);
  return std::move(draft.plan);
}

}  // namespace

Plan parse_plan(std::span<const std::byte> file, std::shared_ptr<const void> storage) {
  return parsed(file, std::move(storage), false);
}

Plan open_plan(const std::filesystem::path& path) {
  try {
    auto [file, storage] = map_file(path);
    return parsed(file, std::move(storage), true);
  } catch (const PlanError& error) {
    throw PlanError(path.string() + ": " + error.what());
  }
}

}  // namespace fewstep

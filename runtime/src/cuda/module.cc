#include "cuda/module.h"

#include <array>
#include <cstring>

#include "fewstep/error.h"

namespace fewstep::cuda {
namespace {

constexpr std::int64_t kSharedWithoutAsking = 48 * 1024, kPortableCluster = 8;

// What the driver's compiler said, on one line; the driver fills a buffer whose size it was told.
std::string one_line(const std::array<char, 4096>& log) {
  std::string line(log.data(), ::strnlen(log.data(), log.size()));
  line.erase(line.find_last_not_of(" \n") + 1);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return line;
}

}  // namespace

Modules::Module::Module(const Context& context, const Weight& image, bool is_ptx) : context_(context) {
  const std::string copy(reinterpret_cast<const char*>(image.bytes.data()), image.bytes.size());  // aligned
  std::array<char, 4096> log{};
  std::array<int, 2> options{kErrorLog, kErrorLogBytes};
  // Numbers are handed over in the pointers themselves.
  std::array<void*, 2> values{log.data(), reinterpret_cast<void*>(log.size() - 1)};
  Driver& driver = context.driver();
  const unsigned count = is_ptx ? options.size() : 0;
  const Result result = driver->module_load_data(&handle_, copy.c_str(), count, options.data(), values.data());
  if (result == 0) return;
  const std::string said = one_line(log);
  driver.fail(result, "cuModuleLoadDataEx of " + image.name + (said.empty() ? "" : ", " + said));
}

Modules::Module::~Module() {
  context_.release([this] { context_.driver()->module_unload(handle_); });
}

FunctionHandle Modules::function(const Launch& launch) {
  const std::pair key(launch.image, launch.entry);
  auto found = functions_.find(key);
  if (found == functions_.end()) found = functions_.emplace(key, load(launch)).first;
  allow(found->second, launch);
  return found->second.handle;
}

Modules::Function Modules::load(const Launch& launch) {
  const Weight& image = plan_.weights[static_cast<std::size_t>(launch.image)];
  const auto [module, is_new] = modules_.try_emplace(launch.image, context_, image, launch.is_ptx);
  if (is_new && launch.is_ptx) ++compiled_;
  Function function;
  Driver& driver = context_.driver();
  driver.check(driver->module_get_function(&function.handle, module->second.handle(), launch.entry.c_str()),
               "cuModuleGetFunction");
  function.threads = attribute(function.handle, kMaxThreadsPerBlock);
  function.static_shared = attribute(function.handle, kStaticShared);
  return function;
}

int Modules::attribute(FunctionHandle function, int which) {
  int value = 0;
  context_.driver().check(context_.driver()->func_get_attribute(&value, which, function), "cuFuncGetAttribute");
  return value;
}

void Modules::allow(Function& function, const Launch& launch) {
  Driver& driver = context_.driver();
  const std::int64_t shared = launch.shared + function.static_shared;
  if (shared > context_.shared()) {
    throw DeviceError(Fault::unavailable, launch.entry + ": expected a device with " + std::to_string(shared) +
                                              " bytes of shared memory a block, got " + context_.name() + " with " +
                                              std::to_string(context_.shared()) + ": compile the plan for this device");
  }
  if (launch.threads > function.threads) {
    throw DeviceError(Fault::unavailable, launch.entry + ": expected at most " + std::to_string(function.threads) +
                                              " threads a block, got " + std::to_string(launch.threads));
  }
  if (shared > kSharedWithoutAsking && launch.shared > function.shared) {
    driver.check(driver->func_set_attribute(function.handle, kMaxDynamicShared, static_cast<int>(launch.shared)),
                 "cuFuncSetAttribute");
    function.shared = launch.shared;
  }
  if (launch.cluster > kPortableCluster && !function.wide_cluster) {
    driver.check(driver->func_set_attribute(function.handle, kNonPortableCluster, 1), "cuFuncSetAttribute");
    function.wide_cluster = true;
  }
}

}  // namespace fewstep::cuda

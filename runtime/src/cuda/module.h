#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cuda/context.h"
#include "fewstep/plan.h"

namespace fewstep::cuda {

// The images of a plan, each loaded once, and their functions.
class Modules {
 public:
  Modules(const Context& context, const Plan& plan) : context_(context), plan_(plan) {}

  // The function of a launch, allowed the shared memory and the cluster that it asks for. Throws DeviceError:
  // unavailable, where the device has less.
  FunctionHandle function(const Launch& launch);
  std::size_t count() const noexcept { return modules_.size(); }
  std::size_t compiled() const noexcept { return compiled_; }  // of PTX, by the driver

 private:
  class Module {
   public:
    Module(const Context& context, const Weight& image, bool is_ptx);
    ~Module();
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;
    ModuleHandle handle() const noexcept { return handle_; }

   private:
    const Context& context_;
    ModuleHandle handle_ = nullptr;
  };
  struct Function {
    FunctionHandle handle = nullptr;
    std::int64_t threads = 0, static_shared = 0;  // at most so many threads; bytes that every block has
    std::int64_t shared = 0;                      // bytes of dynamic memory that were allowed
    bool wide_cluster = false;
  };

  Function load(const Launch& launch);
  int attribute(FunctionHandle function, int which);
  void allow(Function& function, const Launch& launch);

  const Context& context_;
  const Plan& plan_;
  std::map<std::int32_t, Module> modules_;
  std::map<std::pair<std::int32_t, std::string>, Function> functions_;
  std::size_t compiled_ = 0;
};

}  // namespace fewstep::cuda

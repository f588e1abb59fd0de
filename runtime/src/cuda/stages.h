#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "cuda/architecture.h"
#include "cuda/launch.h"
#include "cuda/product.h"

namespace fewstep::cuda {

// A plan's stages as launches for one architecture.
class Stages {
 public:
  // blaslt: the path of cuBLASLt, opened if one of the launches is its.
  Stages(Stream& stream, const Plan& plan, const Addresses& addresses, const Architecture& architecture,
         const std::string& blaslt);

  bool has_tables() const noexcept { return tables_ != nullptr; }
  void enqueue_tables(Stream& stream);
  // A run of N steps, whose rows of the schedule begin at first_row, without the steps before `first`.
  void enqueue(Stream& stream, std::int64_t steps, std::int64_t first_row, std::int64_t first);
  std::int64_t launches(std::int64_t steps) const;  // of a run of them all
  const Modules& modules() const noexcept { return modules_; }
  std::int64_t library_products() const noexcept { return library_products_; }

 private:
  struct Part {
    std::string name;
    std::int64_t steps;
    std::vector<std::variant<PreparedLaunch, PreparedProduct>> launches;
  };

  void add(Part& part, const Op& op, const Launch& launch, const Addresses& addresses);
  struct Steps {
    std::int64_t first = 0, last = 0;  // one past it
  };
  static Steps steps_of(const Part& part, std::int64_t steps, std::int64_t first);

  Stream& stream_;
  const Plan& plan_;
  const std::string blaslt_path_;
  Modules modules_;
  std::unique_ptr<Blaslt> blaslt_;
  std::vector<Part> parts_;
  Part* tables_ = nullptr;
  std::int64_t library_products_ = 0;
};

}  // namespace fewstep::cuda

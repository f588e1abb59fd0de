#pragma once

#include <stdexcept>
#include <string>

namespace fewstep {

// What a caller did wrong is std::invalid_argument; what is wrong with a file, PlanError; the rest, DeviceError.
class PlanError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// As a server has to treat them: retry later, give the request up, or start a new process.
enum class Fault { out_of_memory, numerical, unavailable, capture, fatal };

class DeviceError : public std::runtime_error {
 public:
  DeviceError(Fault fault, const std::string& message) : std::runtime_error(message), fault_(fault) {}
  Fault fault() const noexcept { return fault_; }

 private:
  Fault fault_;
};

}  // namespace fewstep

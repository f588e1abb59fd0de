#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plan/json.h"

namespace fewstep {

// Where in a document a value is: a chain of keys and indices on the stack, which becomes text only in an error.
class Place {
 public:
  explicit Place(std::string_view name) : name_(name) {}
  Place(const Place& parent, std::string_view name) : parent_(&parent), name_(name) {}
  Place(const Place& parent, std::size_t index) : parent_(&parent), index_(static_cast<std::int64_t>(index)) {}

  std::string text() const;
  // Throws PlanError: "place: what".
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail(const std::string& expected, const Json& got) const;

 private:
  const Place* parent_ = nullptr;
  std::string_view name_;
  std::int64_t index_ = -1;
};

// The typed contents of a value, or PlanError.
std::int64_t integer(const Place& place, const Json& json, std::int64_t low, std::int64_t high);
double real(const Place& place, const Json& json);  // an integer too, if a double holds it
bool boolean(const Place& place, const Json& json);
const std::string& text(const Place& place, const Json& json, std::size_t most);
const Json::Array& array(const Place& place, const Json& json, std::size_t most);
const Json::Object& object(const Place& place, const Json& json, std::size_t most);
std::vector<std::int64_t> integers(const Place& place, const Json& json, std::size_t fewest, std::size_t most,
                                   std::int64_t low, std::int64_t high);

// An object whose keys are known: each is taken once, and done() refuses what was not.
class Fields {
 public:
  Fields(const Place& place, const Json& json);

  const Json& take(std::string_view key);
  const Json* take_if(std::string_view key);  // null if it is absent
  void done() const;

  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high) {
    return fewstep::integer(Place(place_, key), take(key), low, high);
  }
  const std::string& text(std::string_view key, std::size_t most) {
    return fewstep::text(Place(place_, key), take(key), most);
  }
  const Json::Array& array(std::string_view key, std::size_t most) {
    return fewstep::array(Place(place_, key), take(key), most);
  }
  const Place& place() const noexcept { return place_; }

 private:
  const Place& place_;
  const Json::Object& members_;
  std::uint64_t taken_ = 0;  // a bit each
};

}  // namespace fewstep

#include "plan/fields.h"

#include "fewstep/error.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostFields = 64;
constexpr std::int64_t kExactInDouble = std::int64_t{1} << 53;

std::string shown(const Json& json) {
  if (const auto* number = json.as<std::int64_t>()) return std::to_string(*number);
  if (const auto* number = json.as<double>()) return std::to_string(*number);
  if (const auto* words = json.as<std::string>()) return in_quotes(*words);
  if (const auto* truth = json.as<bool>()) return *truth ? "true" : "false";
  return std::string(kind_of(json));
}

std::string counted(std::size_t count) { return "got " + std::to_string(count); }

}  // namespace

std::string Place::text() const {
  const std::string before = parent_ == nullptr ? "" : parent_->text();
  if (index_ >= 0) return before + "[" + std::to_string(index_) + "]";
  return before.empty() ? std::string(name_) : before + ": " + std::string(name_);
}

void Place::fail(const std::string& what) const { throw PlanError(text() + ": " + what); }

void Place::fail(const std::string& expected, const Json& got) const {
  fail("expected " + expected + ", got " + shown(got));
}

std::int64_t integer(const Place& place, const Json& json, std::int64_t low, std::int64_t high) {
  const auto* out = json.as<std::int64_t>();
  if (out == nullptr || *out < low || *out > high) {
    place.fail("an integer from " + std::to_string(low) + " to " + std::to_string(high), json);
  }
  return *out;
}

double real(const Place& place, const Json& json) {
  if (const auto* out = json.as<double>()) return *out;
  const auto* out = json.as<std::int64_t>();
  if (out == nullptr || *out < -kExactInDouble || *out > kExactInDouble) place.fail("a number", json);
  return static_cast<double>(*out);
}

bool boolean(const Place& place, const Json& json) {
  const auto* out = json.as<bool>();
  if (out == nullptr) place.fail("true or false", json);
  return *out;
}

const std::string& text(const Place& place, const Json& json, std::size_t most) {
  const auto* out = json.as<std::string>();
  if (out == nullptr) place.fail("a string", json);
  if (out->size() > most) place.fail("expected at most " + std::to_string(most) + " bytes, " + counted(out->size()));
  return *out;
}

const Json::Array& array(const Place& place, const Json& json, std::size_t most) {
  const auto* out = json.as<Json::Array>();
  if (out == nullptr) place.fail("a list", json);
  if (out->size() > most) place.fail("expected at most " + std::to_string(most) + " items, " + counted(out->size()));
  return *out;
}

const Json::Object& object(const Place& place, const Json& json, std::size_t most) {
  const auto* out = json.as<Json::Object>();
  if (out == nullptr) place.fail("an object", json);
  if (out->size() > most) place.fail("expected at most " + std::to_string(most) + " keys, " + counted(out->size()));
  return *out;
}

std::vector<std::int64_t> integers(const Place& place, const Json& json, std::size_t fewest, std::size_t most,
                                   std::int64_t low, std::int64_t high) {
  const Json::Array& items = array(place, json, most);
  if (items.size() < fewest) {
    place.fail("expected at least " + std::to_string(fewest) + " items, " + counted(items.size()));
  }
  std::vector<std::int64_t> out;
  out.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) out.push_back(integer(Place(place, i), items[i], low, high));
  return out;
}

Fields::Fields(const Place& place, const Json& json) : place_(place), members_(object(place, json, kMostFields)) {}

const Json* Fields::take_if(std::string_view key) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].key == key) {
      taken_ |= std::uint64_t{1} << i;
      return &members_[i].value;
    }
  }
  return nullptr;
}

const Json& Fields::take(std::string_view key) {
  const Json* out = take_if(key);
  if (out == nullptr) place_.fail("key " + in_quotes(key) + " is missing");
  return *out;
}

void Fields::done() const {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if ((taken_ >> i & 1) == 0) place_.fail("unknown key " + in_quotes(members_[i].key));
  }
}

}  // namespace fewstep

// Mutations of a plan's file that keep it one: its container whole, its program JSON, its digests right, so that what
// is changed reaches the checks of its meaning.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "mutator/json_writer.h"
#include "mutator/plan_file.h"

// The engine's own mutation of bytes: libFuzzer's, or the driver's.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

using fewstep::Json;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kBounds[] = {
    0,         1,         -1,        2,         31,        32,    33,         63,    64,      65,         255,
    256,       257,       1024,      1025,      1056,      4096,  65535,      65536, 1 << 20, 2147483647, 2147483648,
    1LL << 32, 1LL << 39, 1LL << 40, 1LL << 62, kMost - 1, kMost, -kMost - 1, 127,   128};
constexpr double kReals[] = {0.0, -1.0, 0.5, 1e-40, 1e38, -1e300, 2147483648.0};
constexpr std::string_view kWords[] = {
    "",     "f32",     "f16",        "i64",   "i32",     "u8",     "ptr",         "scratch", "i8",       "u64",
    "fp16", "step",    "tensormap",  "map",   "softmax", "reduce", "attention",   "matmul",  "silu",     "gelu",
    "max",  "network", "modulation", "start", "finish",  "cuda",   "value_first", "cpu",     "cublaslt", "gelu_tanh"};

// A value of the program, and the key of the nearest member that it lies in.
struct Node {
  Json* json;
  std::string_view key;
};

template <typename Type>
bool is(const Node& node) {
  return node.json->as<Type>() != nullptr;
}

bool is_address(const Node& node) {
  return node.key == "offset" || node.key == "row" || node.key == "step" || node.key == "buffer";
}

class Mutator {
 public:
  Mutator(PlanFile& file, unsigned seed) : file_(file), random_(seed) {}

  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void operator()() {
    if (below(8) == 0 && !file_.tensors.empty()) return change_tensor(file_.tensors[below(file_.tensors.size())]);
    nodes_.clear();
    collect(file_.program, "");
    if (below(8) == 0) return overlay();
    const std::size_t where = below(4);
    const Node node = where == 0 ? among(is_address) : where == 1 ? of_some_part() : nodes_[below(nodes_.size())];
    if (below(4) == 0) return copy(node);
    if (auto* whole = std::get_if<std::int64_t>(&node.json->value)) return number(*whole, node.key);
    if (auto* list = std::get_if<Json::Array>(&node.json->value)) return change_list(*list);
    if (auto* members = std::get_if<Json::Object>(&node.json->value)) return change_object(*members);
    if (auto* words = std::get_if<std::string>(&node.json->value)) {
      *words = kWords[below(std::size(kWords))];
    } else if (auto* real = std::get_if<double>(&node.json->value)) {
      *real = kReals[below(std::size(kReals))];
    } else if (auto* truth = std::get_if<bool>(&node.json->value)) {
      *truth = !*truth;
    } else {
      node.json->value = static_cast<std::int64_t>(below(16));
    }
  }

 private:
  // Every value but the digests, which are made anew.
  void collect(Json& json, std::string_view key) {
    if (key == "digests") return;
    nodes_.push_back({&json, key});
    if (auto* list = std::get_if<Json::Array>(&json.value)) {
      for (Json& item : *list) collect(item, key);
    } else if (auto* members = std::get_if<Json::Object>(&json.value)) {
      for (Json::Member& member : *members) collect(member.value, member.key);
    }
  }

  // Of each list and object that the program has as often, however much it holds.
  Node of_some_part() {
    std::vector<Json::Member*> parts;
    if (auto* members = std::get_if<Json::Object>(&file_.program.value)) {
      for (Json::Member& member : *members) {
        if (member.value.as<Json::Array>() != nullptr || member.value.as<Json::Object>() != nullptr) {
          parts.push_back(&member);
        }
      }
    }
    if (parts.empty()) return nodes_[0];
    Json::Member& part = *parts[below(parts.size())];
    std::vector<Node> within;
    std::swap(within, nodes_);
    collect(part.value, part.key);
    std::swap(within, nodes_);
    return within.empty() ? nodes_[0] : within[below(within.size())];
  }

  // One buffer where another lies.
  void overlay() {
    std::vector<Json*> offsets;
    for (const Node& node : nodes_) {
      auto* pair = std::get_if<Json::Array>(&node.json->value);
      if (node.key == "buffers" && pair != nullptr && pair->size() == 2) offsets.push_back(&pair->front());
    }
    if (offsets.empty()) return;
    const Json chosen = *offsets[below(offsets.size())];
    *offsets[below(offsets.size())] = chosen;
  }

  template <typename Condition>
  Node among(Condition condition) {
    std::vector<Node> found;
    std::copy_if(nodes_.begin(), nodes_.end(), std::back_inserter(found), condition);
    return found.empty() ? nodes_[0] : found[below(found.size())];
  }

  // What another place of the same key has: an offset for an offset, a shape for a shape.
  void copy(const Node& node) {
    std::vector<Json*> alike;
    for (const Node& other : nodes_) {
      if (other.key == node.key && other.json->value.index() == node.json->value.index()) alike.push_back(other.json);
    }
    const Json chosen = *alike[below(alike.size())];
    *node.json = chosen;
  }

  void number(std::int64_t& whole, std::string_view key) {
    const std::int64_t before = whole;
    const auto wrapped = static_cast<std::uint64_t>(whole);
    switch (below(8)) {
      case 0:
      case 1:
        whole = kBounds[below(std::size(kBounds))];
        break;
      case 2:
        whole = static_cast<std::int64_t>(below(2) == 0 ? wrapped + 1 : wrapped - 1);
        break;
      case 3:
        whole = below(2) == 0 ? static_cast<std::int64_t>(wrapped * 2) : whole / 2;
        break;
      case 4:
        whole = static_cast<std::int64_t>(below(16));
        break;
      case 5:
        whole = static_cast<std::int64_t>(64 * below(64));
        break;
      case 6: {  // as long as some list, so that it is one past its end
        const Node list = among(is<Json::Array>);
        if (const auto* items = list.json->as<Json::Array>()) whole = static_cast<std::int64_t>(items->size());
        break;
      }
      default: {
        const Node other = among(is<std::int64_t>);
        if (const auto* found = other.json->as<std::int64_t>()) whole = *found;
      }
    }
    if (below(8) != 0) return;
    const std::int64_t after = whole;  // everywhere, so that what has to agree does
    const bool is_everywhere = below(2) == 0;
    for (const Node& node : nodes_) {
      auto* other = std::get_if<std::int64_t>(&node.json->value);
      if (other != nullptr && *other == before && (is_everywhere || node.key == key)) *other = after;
    }
  }

  void change_list(Json::Array& list) {
    if (list.empty() || below(8) == 0) {
      const Json chosen = *nodes_[below(nodes_.size())].json;
      list.push_back(chosen);
      return;
    }
    const std::size_t at = below(list.size()), other = below(list.size());
    switch (below(4)) {
      case 0:
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 1: {
        const Json chosen = list[at];
        list.insert(list.begin() + static_cast<std::ptrdiff_t>(other), chosen);
        break;
      }
      case 2:
        std::swap(list[at], list[other]);
        break;
      default: {
        const Json chosen = list[other];
        list[at] = chosen;
      }
    }
  }

  void change_object(Json::Object& members) {
    if (!members.empty() && below(3) == 0) {
      members.erase(members.begin() + static_cast<std::ptrdiff_t>(below(members.size())));
      return;
    }
    const Node other = among(is<Json::Object>);
    const auto* theirs = other.json->as<Json::Object>();
    if (theirs == nullptr || theirs->empty()) return;
    const Json::Member chosen = (*theirs)[below(theirs->size())];
    for (Json::Member& member : members) {
      if (member.key == chosen.key) {
        member.value = chosen.value;
        return;
      }
    }
    members.push_back(chosen);
  }

  static void resize(Tensor& tensor, std::size_t size) {
    tensor.bytes.resize(size);
    tensor.shape = {static_cast<std::int64_t>(size / bytes_of(tensor.dtype))};
  }

  void change_tensor(Tensor& tensor) {
    std::string& bytes = tensor.bytes;
    if (bytes.empty() || below(8) == 0) {
      const std::size_t item = bytes_of(tensor.dtype), most = bytes.size() / item;
      return resize(tensor, item * (below(2) == 0 ? below(most + 1) : std::min<std::size_t>(most + below(16), 4096)));
    }
    const std::size_t size = std::size_t{1} << below(4), at = below(bytes.size()) / size * size;
    std::int64_t value = 0;
    std::memcpy(&value, bytes.data() + at, std::min(size, bytes.size() - at));
    switch (below(3)) {
      case 0:
        value = kBounds[below(std::size(kBounds))];
        break;
      case 1:
        value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) + below(33) - 16);
        break;
      default:
        value ^= std::int64_t{1} << below(8 * size);
    }
    std::memcpy(bytes.data() + at, &value, std::min(size, bytes.size() - at));
  }

  PlanFile& file_;
  std::minstd_rand random_;
  std::vector<Node> nodes_;
};

// Bytes of the text itself, for the reader of JSON.
std::string with_other_text(const std::string& text, std::size_t most) {
  std::vector<std::uint8_t> bytes(text.begin(), text.end());
  bytes.resize(std::max(most, bytes.size()));
  bytes.resize(LLVMFuzzerMutate(bytes.data(), text.size(), bytes.size()));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  auto file = take_apart(std::as_bytes(std::span(data, size)));
  if (!file) return LLVMFuzzerMutate(data, size, most);
  Mutator mutate(*file, seed + 1);
  do {
    mutate();
  } while (mutate.below(2) == 0);
  if (mutate.below(32) != 0) seal(*file);
  std::string text = to_text(file->program);
  if (mutate.below(32) == 0) text = with_other_text(text, 2 * text.size());
  const std::string out = put_together(text, file->tensors);
  if (out.size() > most) return size;
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

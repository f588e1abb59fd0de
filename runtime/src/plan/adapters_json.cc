#include "plan/adapters_json.h"

#include <limits>
#include <set>

#include "plan/op_json.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostModules = 1 << 16;
constexpr std::int64_t kMostRank = 1 << 16, kMostSize = std::numeric_limits<std::int32_t>::max();

template <typename F>
void each_module(const Place& place, const Json& json, F&& read) {
  for (const Json::Member& member : object(place, json, kMostModules)) {
    const std::string title = in_quotes(member.key);
    const Place here(place, title);
    if (member.key.size() > kMostNode) here.fail("expected a name of at most " + std::to_string(kMostNode) + " bytes");
    read(here, member);
  }
}

}  // namespace

Adapters read_adapters(const Place& place, const Json& json, const Plan& plan) {
  Fields fields(place, json);
  Adapters out;
  out.rank = fields.integer("rank", 1, kMostRank);
  each_module(Place(place, "modules"), fields.take("modules"), [&](const Place& here, const Json::Member& member) {
    out.modules.emplace(member.key, integers(here, member.value, 2, 4, 1, kMostSize));
  });
  each_module(Place(place, "targets"), fields.take("targets"), [&](const Place& here, const Json::Member& member) {
    Fields tensors(here, member.value);
    const auto tensor = [&](std::string_view key) {
      return find_weight(Place(here, key), tensors.text(key, kMostNode), plan);
    };
    const Adapter adapter{tensor("down"), tensor("up")};
    tensors.done();
    out.targets.emplace(member.key, adapter);
  });
  fields.done();
  return out;
}

std::vector<std::int32_t> weights_of(const Adapters& adapters) {
  std::set<std::int32_t> found;
  for (const auto& [module, adapter] : adapters.targets) found.insert({adapter.down, adapter.up});
  return {found.begin(), found.end()};
}

}  // namespace fewstep

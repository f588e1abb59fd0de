#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "cpu/attributes.h"
#include "cpu/convert.h"
#include "cpu/copy.h"
#include "cpu/kernels.h"
#include "cpu/map_code.h"

namespace fewstep::cpu {
namespace {

constexpr std::int64_t kTile = 512;  // elements: a few registers of them lie in the first cache
constexpr std::size_t kInputs = 16;
constexpr std::int64_t kAlone = 4096;

class Map : public Kernel {
 public:
  Map(const Problem& problem, const std::vector<Instruction>& code)
      : inputs_(problem.inputs),
        y_(problem.outputs[0]),
        code_(compile(code, static_cast<std::int32_t>(problem.inputs.size()), problem.isa)),
        places_(inputs_.size() + code_.constants.size() + static_cast<std::size_t>(code_.slots)) {
    const std::vector<std::size_t> order = memory_order(*y_.value);
    for (const Operand& x : inputs_) walks_.push_back(walk_of(*x.value, order));
    walk_ = walk_of(*y_.value, order);
    work_ = walk_.count() * static_cast<std::int64_t>(std::max<std::size_t>(1, code_.lines.size()));
    room_.resize(static_cast<std::size_t>(problem.threads) * places_ * kTile);
    for (std::size_t k = 0; k < static_cast<std::size_t>(problem.threads) * places_; ++k) {
      const std::size_t place = k % places_ - inputs_.size();  // wraps for an input
      if (place < code_.constants.size()) std::fill_n(&room_[k * kTile], kTile, code_.constants[place]);
    }
  }

  std::size_t scratch() const noexcept override { return room_.size() * sizeof(float); }
  bool alone() const noexcept override { return work_ <= kAlone; }

  void run(Moment moment, int, int thread, int threads) noexcept override {
    float* room = &room_[static_cast<std::size_t>(thread) * places_ * kTile];
    const Share share = share_of((walk_.count() + kTile - 1) / kTile, thread, threads);
    for (std::int64_t tile = share.first; tile < share.last; ++tile) {
      const std::int64_t first = tile * kTile;
      run_tile(moment, first, std::min(kTile, walk_.count() - first), room);
    }
  }

 private:
  void run_tile(Moment moment, std::int64_t first, std::int64_t count, float* room) const noexcept {
    std::array<const float*, kInputs> inputs;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      inputs[i] = read_tile(inputs_[i], walks_[i], moment, first, count, room + i * kTile);
    }
    float* direct = y_.value->dtype == Dtype::f32 ? dense(walk_, y_.at<float>(moment), first, count) : nullptr;
    const auto at = [&](std::int32_t place) -> const float* {
      const auto index = static_cast<std::size_t>(place);
      return index < inputs_.size() ? inputs[index] : room + index * kTile;
    };
    for (const MapCode::Line& line : code_.lines) {
      const bool is_last = &line == &code_.lines.back() && direct != nullptr;
      float* y = is_last ? direct : room + static_cast<std::size_t>(line.y) * kTile;
      line.run(at(line.a), at(line.b), at(line.c), y, static_cast<std::size_t>(count));
    }
    if (direct == nullptr || code_.lines.empty()) {
      write_tile(y_, walk_, moment, first, count, at(code_.result));
    }
  }

  std::vector<Operand> inputs_;
  Operand y_;
  MapCode code_;
  std::size_t places_;
  std::vector<Walk> walks_;
  Walk walk_;
  std::int64_t work_;
  std::vector<float> room_;
};

}  // namespace

std::unique_ptr<Kernel> make_map(const Problem& problem) {
  const auto& code = attribute<std::vector<Instruction>>(problem.op, "code");
  if (problem.inputs.size() > kInputs) {
    throw std::invalid_argument("map " + problem.op.name + ": at most 16 inputs, got " +
                                std::to_string(problem.inputs.size()));
  }
  if (code.empty() && problem.inputs.back().value->dtype == problem.outputs[0].value->dtype) {
    return make_copy(problem.inputs.back(), problem.outputs[0]);
  }
  return std::make_unique<Map>(problem, code);
}

}  // namespace fewstep::cpu

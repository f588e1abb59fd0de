#include <map>
#include <string>
#include <utility>

#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/product.h"

namespace fewstep::cpu {
namespace {

// The matrices of a batch, each with its own b, or all their rows as one if they share it and lie so that they can be.
class Batch {
 public:
  explicit Batch(const Problem& problem) : shape_(problem.outputs[0].value->shape) {
    const std::vector<std::int64_t>& b = problem.inputs[1].value->strides;
    const std::size_t axes = shape_.size() - 2;
    // From the last batch axis on, as many as b repeats along and as a grid has room for beside the rows.
    while (joined_ < 2 && joined_ < axes && (shape_[axes - 1 - joined_] == 1 || b[axes - 1 - joined_] == 0)) ++joined_;
    for (std::size_t i = 0; i < axes - joined_; ++i) sheets_ *= shape_[i];
    rows_ = shape_[axes];
    for (std::size_t i = axes - joined_; i < axes; ++i) rows_ *= shape_[i];
  }

  std::int64_t sheets() const noexcept { return sheets_; }
  std::int64_t rows() const noexcept { return rows_; }

  Grid grid(const Value& value) const {
    const std::size_t axes = shape_.size() - 2;
    Grid out;
    out.x = {.count = shape_[axes], .stride = value.strides[axes]};
    if (joined_ >= 1) out.y = {.count = shape_[axes - 1], .stride = value.strides[axes - 1]};
    if (joined_ == 2) out.batch = shape_[axes - 2], out.batch_stride = value.strides[axes - 2];
    return out;
  }

  std::vector<std::int64_t> offsets(const Value& value) const {
    std::vector<std::int64_t> out;
    for (std::int64_t sheet = 0; sheet < sheets_; ++sheet) {
      std::int64_t rest = sheet, offset = 0;
      for (std::size_t i = shape_.size() - 2 - joined_; i-- > 0; rest /= shape_[i]) {
        offset += rest % shape_[i] * value.strides[i];
      }
      out.push_back(offset);
    }
    return out;
  }

 private:
  const std::vector<std::int64_t>& shape_;
  std::size_t joined_ = 0;
  std::int64_t sheets_ = 1, rows_ = 1;
};

// Of b: where each distinct matrix begins, and which of them each sheet reads.
struct Distinct {
  explicit Distinct(const std::vector<std::int64_t>& offsets) {
    std::map<std::int64_t, std::int64_t> known;
    for (const std::int64_t offset : offsets) {
      const auto [set, is_new] = known.try_emplace(offset, static_cast<std::int64_t>(begins.size()));
      if (is_new) begins.push_back(offset);
      sets.push_back(set->second);
    }
  }
  std::vector<std::int64_t> begins, sets;
};

class Matmul final : public Kernel {
 public:
  explicit Matmul(const Problem& problem)
      : b_(problem.inputs[1]),
        batch_(problem),
        distinct_(batch_.offsets(*b_.value)),
        glu_(std::get<std::string>(problem.op.attributes.at("glu"))),
        product_(gemm_of(problem.isa),
                 {.sheets = batch_.sheets(),
                  .rows = batch_.rows(),
                  .depth = b_.value->shape[b_.value->shape.size() - 2],
                  .columns = problem.outputs[0].value->shape.back(),
                  .glu = !glu_.empty()},
                 panels(problem, glu_, distinct_), problem.threads) {
    const Operand &a = problem.inputs[0], &y = problem.outputs[0];
    const std::int64_t rows = product_.block_rows();
    const auto side = [&](const Operand& operand) {
      if (!operand) return Side{};
      return Side{Rows(operand, batch_.grid(*operand.value), nullptr, rows, problem.threads),
                  operand.value->strides.back(), batch_.offsets(*operand.value)};
    };
    product_.a = Rows(a, batch_.grid(*a.value), nullptr, rows, problem.threads);
    product_.a_step = a.value->strides.back();
    product_.a_sheets = batch_.offsets(*a.value);
    halves_ = glu_.empty() ? 1 : 2;
    for (const std::int64_t set : distinct_.sets) product_.b_sheets.push_back(set * halves_);

    Epilogue& epilogue = product_.epilogue;
    epilogue.bias = problem.inputs[2];
    epilogue.gate = side(problem.inputs[3]);
    epilogue.outer = side(problem.inputs[4]);
    epilogue.y = side(y);
    columns_ = y.value->shape.back();
    if (epilogue.bias && halves_ == 2) {
      const std::int64_t half = columns_ * epilogue.bias.value->strides[0];
      epilogue.bias_glu = glu_ == "value_first" ? half : -half;
      if (glu_ == "gate_first") epilogue.bias_first = half;
    }
    epilogue.scale = static_cast<float>(std::get<double>(problem.op.attributes.at("scale")));
    epilogue.activation = activation_of(std::get<std::string>(problem.op.attributes.at("activation")));
    const Gemm& gemm = gemm_of(problem.isa);
    epilogue.prepare(rows, gemm.vectors * gemm.lanes, problem.threads);

    const std::vector<std::int64_t>& strides = b_.value->strides;
    const std::int64_t depth = b_.value->shape[b_.value->shape.size() - 2];
    for (std::int64_t k = 0; k < depth; ++k) b_rows_.push_back(k * strides[strides.size() - 2]);
    constant_ = b_.value->buffer < 0 && b_.value->row == 0 && b_.value->step == 0;
    if (constant_) pack({}, 0, 1);
  }

  int phases() const noexcept override { return constant_ ? 1 : 2; }
  std::string choice() const override { return constant_ ? "packed" : "packed each run"; }
  std::size_t scratch() const noexcept override { return product_.scratch(); }

  void repack() noexcept override {
    if (constant_) pack({}, 0, 1);
  }

  void run(Moment moment, int phase, int thread, int threads) noexcept override {
    if (!constant_ && phase == 0) return pack(moment, thread, threads);
    product_.run(moment, thread, threads);
  }

 private:
  static Panels panels(const Problem& problem, const std::string& glu, const Distinct& distinct) {
    const std::vector<std::int64_t>& shape = problem.inputs[1].value->shape;
    const auto sets = static_cast<std::int64_t>(distinct.begins.size()) * (glu.empty() ? 1 : 2);
    return Panels(gemm_of(problem.isa), shape[shape.size() - 2], problem.outputs[0].value->shape.back(), sets);
  }

  void pack(Moment moment, int thread, int threads) noexcept {
    const std::int64_t step = b_.value->strides.back(), panels = product_.b.count();
    const std::int64_t items = static_cast<std::int64_t>(distinct_.begins.size()) * halves_ * panels;
    for (std::int64_t item = items * thread / threads; item < items * (thread + 1) / threads; ++item) {
      const std::int64_t set = item / panels, half = set % halves_;
      const bool second = half == (glu_ == "gate_first" ? 0 : 1) && halves_ == 2;  // of b's two halves of columns
      const float* from = b_.at<float>(moment) + distinct_.begins[static_cast<std::size_t>(set / halves_)];
      product_.b.pack(set, item % panels, from + (second ? columns_ * step : 0), b_rows_, step);
    }
  }

  const Operand& b_;
  Batch batch_;
  Distinct distinct_;
  std::string glu_;
  Product product_;
  std::vector<std::int64_t> b_rows_;
  std::int64_t halves_ = 1, columns_ = 0;
  bool constant_ = false;
};

}  // namespace

std::unique_ptr<Kernel> make_matmul(const Problem& problem) { return std::make_unique<Matmul>(problem); }

}  // namespace fewstep::cpu

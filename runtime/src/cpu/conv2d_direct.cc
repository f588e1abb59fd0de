#include <utility>

#include "cpu/convolution.h"
#include "cpu/floats.h"
#include "cpu/product.h"

namespace fewstep::cpu {
namespace {

// Each tap of the kernel is a product of the image's pixels, taken where they lie, with a matrix of weights.
class DirectConv2d final : public Kernel {
 public:
  explicit DirectConv2d(const Convolution& conv)
      : weight_(conv.weight),
        groups_(conv.groups),
        outputs_(conv.outputs / conv.groups),
        zeros_(conv.padding_floats(), 0.0f),
        product_(conv.gemm,
                 {.sheets = conv.groups,
                  .rows = conv.batch * conv.rows * conv.columns,
                  .taps = conv.kernel_y * conv.kernel_x,
                  .depth = conv.channels / conv.groups,
                  .columns = conv.outputs / conv.groups},
                 panels(conv), conv.problem.threads) {
    product_.a = Rows(conv.x, conv.input(), zeros_.get(), product_.block_rows(), conv.problem.threads);
    product_.a_step = conv.x.value->strides[1];
    std::vector<std::int64_t> sheets;
    for (std::int64_t g = 0; g < conv.groups; ++g) {
      product_.a_sheets.push_back(g * (conv.channels / conv.groups) * product_.a_step);
      product_.b_sheets.push_back(g);
      sheets.push_back(g * (conv.outputs / conv.groups));
    }
    conv.finish(
        product_.epilogue, sheets, [](const Convolution& over, const Value& value) { return over.output(value); },
        product_.block_rows(), conv.gemm.vectors * conv.gemm.lanes);
    const std::vector<std::int64_t>& strides = weight_.value->strides;
    for (std::int64_t y = 0; y < conv.kernel_y; ++y) {
      for (std::int64_t x = 0; x < conv.kernel_x; ++x) {
        for (std::int64_t c = 0; c < conv.channels / conv.groups; ++c) {
          weight_rows_.push_back(c * strides[1] + y * strides[2] + x * strides[3]);
        }
      }
    }
    repack();
  }

  std::string choice() const override { return "direct"; }
  std::size_t scratch() const noexcept override { return zeros_.bytes() + product_.scratch(); }
  void repack() noexcept override {
    const std::int64_t step = weight_.value->strides[0];
    for (std::int64_t g = 0; g < groups_; ++g) {
      const float* weights = weight_.at<float>({}) + g * outputs_ * step;
      for (std::int64_t p = 0; p < product_.b.count(); ++p) product_.b.pack(g, p, weights, weight_rows_, step);
    }
  }
  void run(Moment moment, int /*phase*/, int thread, int threads) noexcept override {
    product_.run(moment, thread, threads);
  }

 private:
  static Panels panels(const Convolution& conv) {
    const std::int64_t depth = conv.channels / conv.groups, outputs = conv.outputs / conv.groups;
    return Panels(conv.gemm, conv.kernel_y * conv.kernel_x * depth, outputs, conv.groups);
  }

  const Operand& weight_;
  std::int64_t groups_, outputs_;          // of a group
  std::vector<std::int64_t> weight_rows_;  // where the rows of its matrix begin
  Floats zeros_;
  Product product_;
};

}  // namespace

std::unique_ptr<Kernel> make_direct(const Convolution& convolution) {
  return std::make_unique<DirectConv2d>(convolution);
}

}  // namespace fewstep::cpu

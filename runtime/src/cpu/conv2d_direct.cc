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
      : zeros_(conv.padding_floats(), 0.0f),
        product_(conv.gemm,
                 {.sheets = conv.groups,
                  .rows = conv.batch * conv.rows * conv.columns,
                  .taps = conv.kernel_y * conv.kernel_x,
                  .depth = conv.channels / conv.groups,
                  .columns = conv.outputs / conv.groups},
                 packed(conv), conv.problem.threads) {
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
  }

  std::string choice() const override { return "direct"; }
  std::size_t scratch() const noexcept override { return zeros_.bytes() + product_.scratch(); }
  void run(Moment moment, int /*phase*/, int thread, int threads) noexcept override {
    product_.run(moment, thread, threads);
  }

 private:
  static Panels packed(const Convolution& conv) {
    const std::int64_t depth = conv.channels / conv.groups, outputs = conv.outputs / conv.groups;
    Panels panels(conv.gemm, conv.kernel_y * conv.kernel_x * depth, outputs, conv.groups);
    const std::vector<std::int64_t>& strides = conv.weight.value->strides;
    std::vector<std::int64_t> rows;
    for (std::int64_t y = 0; y < conv.kernel_y; ++y) {
      for (std::int64_t x = 0; x < conv.kernel_x; ++x) {
        for (std::int64_t c = 0; c < depth; ++c) rows.push_back(c * strides[1] + y * strides[2] + x * strides[3]);
      }
    }
    for (std::int64_t g = 0; g < conv.groups; ++g) {
      const float* weights = conv.weight.at<float>({}) + g * outputs * strides[0];
      for (std::int64_t p = 0; p < panels.count(); ++p) panels.pack(g, p, weights, rows, strides[0]);
    }
    return panels;
  }

  Floats zeros_;
  Product product_;
};

}  // namespace

std::unique_ptr<Kernel> make_direct(const Convolution& convolution) {
  return std::make_unique<DirectConv2d>(convolution);
}

}  // namespace fewstep::cpu

#include "cuda/product.h"

#include <optional>

#include "fewstep/error.h"
#include "matrix.h"

namespace fewstep::cuda {
namespace {

constexpr Address kWorkspaceAlignment = 256;
constexpr std::uint32_t kMostAlignment = 256;  // that the library tells apart

int type_of(Dtype type) { return type == Dtype::f32 ? kReal32 : type == Dtype::f16 ? kReal16 : kBrain16; }

std::uint32_t epilogue_of(const LibraryProduct& product) {
  const std::uint32_t epilogue = (product.bias >= 0 ? kAddBias : 0) | (product.activation.empty() ? 0 : kGelu);
  return epilogue != 0 ? epilogue : kNoEpilogue;
}

}  // namespace

struct PreparedProduct::Layout {
  Dtype dtype;
  Matrix matrix;
};

// The library counts down columns: it is given y^T = b^T a^T, in which bias goes along the columns.
PreparedProduct::PreparedProduct(Blaslt& blaslt, const Plan& plan, const Op& op, const LibraryProduct& product,
                                 const Addresses& addresses)
    : blaslt_(blaslt),
      op_(op),
      product_(product),
      addresses_(addresses),
      description_(nullptr, blaslt->product_destroy),
      first_(nullptr, blaslt->layout_destroy),
      second_(nullptr, blaslt->layout_destroy),
      result_(nullptr, blaslt->layout_destroy) {
  const auto layout_of = [&](std::int32_t index) {
    const Value& value = plan.values[static_cast<std::size_t>(index)];
    return Layout{value.dtype, matrix_of(value).value()};
  };
  Layout a = layout_of(product.a), b = layout_of(product.b), y = layout_of(product.y);
  const std::optional<Matrix> all_of_a = joined(a.matrix), all_of_y = joined(y.matrix);
  if (b.matrix.distance == 0 && all_of_a && all_of_y) {
    a.matrix = *all_of_a;
    y.matrix = *all_of_y;
    b.matrix.batch = 1;
  }
  first_ = layout(b);
  second_ = layout(a);
  result_ = layout(y);
  describe(b, a);
  if (product.workspace >= 0) {
    const Address start = addresses.of(product.workspace, {});
    const auto size = plan.values[static_cast<std::size_t>(product.workspace)].shape[0];
    const Address end = start + static_cast<Address>(size);
    workspace_ = (start + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
    workspace_bytes_ = workspace_ < end ? static_cast<std::size_t>(end - workspace_) : 0;
  }
  find_algorithm();
}

PreparedProduct::Owned<LayoutObject> PreparedProduct::layout(const Layout& layout) {
  const Matrix& matrix = layout.matrix;
  const std::int64_t down = matrix.is_row_major ? matrix.columns : matrix.rows;
  const std::int64_t across = matrix.is_row_major ? matrix.rows : matrix.columns;
  LayoutObject* made = nullptr;
  blaslt_.check(blaslt_->layout_create(&made, type_of(layout.dtype), static_cast<std::uint64_t>(down),
                                       static_cast<std::uint64_t>(across), matrix.leading),
                "cublasLtMatrixLayoutCreate");
  Owned<LayoutObject> owned(made, blaslt_->layout_destroy);
  const auto batch = static_cast<std::int32_t>(matrix.batch);
  blaslt_.check(blaslt_->layout_set(made, kBatchCount, &batch, sizeof batch), "cublasLtMatrixLayoutSetAttribute");
  blaslt_.check(blaslt_->layout_set(made, kBatchDistance, &matrix.distance, sizeof matrix.distance),
                "cublasLtMatrixLayoutSetAttribute");
  return owned;
}

void PreparedProduct::describe(const Layout& first, const Layout& second) {
  ProductObject* made = nullptr;
  blaslt_.check(blaslt_->product_create(&made, kCompute32, kReal32), "cublasLtMatmulDescCreate");
  description_.reset(made);
  const auto set = [&](int attribute, const auto& value) {
    blaslt_.check(blaslt_->product_set(made, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  };
  set(kTransposeFirst, first.matrix.is_row_major ? kNotTransposed : kTransposed);
  set(kTransposeSecond, second.matrix.is_row_major ? kNotTransposed : kTransposed);
  set(kEpilogue, epilogue_of(product_));
  if (product_.bias >= 0) set(kBiasPointer, addresses_.of(product_.bias, {}));
}

void PreparedProduct::find_algorithm() {
  PreferenceObject* made = nullptr;
  blaslt_.check(blaslt_->preference_create(&made), "cublasLtMatmulPreferenceCreate");
  const Owned<PreferenceObject> owned(made, blaslt_->preference_destroy);
  const auto set = [&](int attribute, const auto& value) {
    blaslt_.check(blaslt_->preference_set(made, attribute, &value, sizeof value),
                  "cublasLtMatmulPreferenceSetAttribute");
  };
  set(kMostWorkspaceBytes, std::uint64_t{workspace_bytes_});
  set(kReductions, kReductionInCompute32);
  set(kAlignmentA, alignment(product_.b));
  set(kAlignmentB, alignment(product_.a));
  set(kAlignmentC, alignment(product_.y));
  set(kAlignmentD, alignment(product_.y));
  Heuristic found{};
  int count = 0;
  const std::string call = "cublasLtMatmulAlgoGetHeuristic of " + op_.name;
  blaslt_.check(blaslt_->get_heuristic(blaslt_.handle(), description_.get(), first_.get(), second_.get(), result_.get(),
                                       result_.get(), made, 1, &found, &count),
                call);
  if (count < 1 || found.state != 0) {
    throw DeviceError(Fault::unavailable,
                      call + ": cuBLASLt knows no algorithm: compile the plan with --matmul triton");
  }
  algorithm_ = found.algorithm;
}

// Of a value's start, wherever it moves.
std::uint32_t PreparedProduct::alignment(std::int32_t value) const {
  const Address start = addresses_.of(value, {});
  const Address moves = (addresses_.of(value, {.row = 1, .step = 0}) - start) |
                        (addresses_.of(value, {.row = 0, .step = 1}) - start) | start | kMostAlignment;
  return static_cast<std::uint32_t>(moves & (~moves + 1));
}

void PreparedProduct::enqueue(Stream& stream, Moment moment) {
  const auto at = [&](std::int32_t value) { return reinterpret_cast<void*>(addresses_.of(value, moment)); };
  const auto alpha = static_cast<float>(product_.scale);
  const float beta = 0;
  void* const y = at(product_.y);
  const BlasltStatus status =
      blaslt_->matmul(blaslt_.handle(), description_.get(), &alpha, at(product_.b), first_.get(), at(product_.a),
                      second_.get(), &beta, y, result_.get(), y, result_.get(), &algorithm_,
                      reinterpret_cast<void*>(workspace_), workspace_bytes_, stream.handle());
  if (status != 0) blaslt_.fail(status, "cublasLtMatmul of " + op_.name);
}

}  // namespace fewstep::cuda

#include "plan/op_operands.h"

namespace fewstep {
namespace {

constexpr std::size_t kAnyRank = 8;

void check_map(const Op& op, const Operands& operands) {
  for (std::size_t i = 0; i < op.inputs.size(); ++i) {
    operands.expect_shape("input", operands.input(i), operands.output(0)->shape);
  }
}

void check_softmax(const Operands& op) {
  const Value &x = *op.input(0), &y = *op.output(0);
  op.expect_rank("x", &x, 1, kAnyRank);
  op.expect_shape("y", &y, x.shape);
  op.expect_float("x", &x);
  op.expect_float("y", &y);
}

void check_reduce(const Operands& op) {
  const Value &x = *op.input(0), &y = *op.output(0);
  const std::string& kind = op.text("kind");
  op.expect(kind == "mean" || kind == "sum" || kind == "max" || kind == "min", "kind mean, sum, max or min");
  const auto axes = static_cast<std::size_t>(op.integer("axes"));
  op.expect(axes >= 1 && axes <= x.shape.size(), "axes from 1 to the rank of x");
  Shape left = x.shape;
  left.resize(left.size() - axes);
  op.expect_shape("y", &y, left);
  op.expect_float("x", &x);
  op.expect_float("y", &y);
}

void check_gather(const Operands& op) {
  const Value &table = *op.input(0), &indices = *op.input(1), &y = *op.output(0);
  op.expect_rank("table", &table, 1, kAnyRank);
  Shape shape = indices.shape;
  shape.insert(shape.end(), table.shape.begin() + 1, table.shape.end());
  op.expect_shape("y", &y, shape);
  op.expect_type("indices", &indices, {Dtype::i64});
  op.expect_float("table", &table);
  op.expect_float("y", &y);
}

void check_conv2d(const Operands& op) {
  const Value &x = *op.input(0), &weight = *op.input(1), &y = *op.output(0);
  op.expect_rank("x", &x, 4, 4);
  op.expect_rank("weight", &weight, 4, 4);
  const Shape &stride = op.integers("stride"), &padding = op.integers("padding"), &dilation = op.integers("dilation");
  op.expect(stride.size() == 2 && stride[0] > 0 && stride[1] > 0, "stride of two positive integers");
  op.expect(padding.size() == 4, "padding of four integers");
  op.expect(dilation.size() == 2 && dilation[0] > 0 && dilation[1] > 0, "dilation of two positive integers");
  const std::int64_t groups = op.integer("groups"), upsample = op.integer("upsample");
  op.expect(upsample == 1 || upsample == 2, "upsample 1 or 2");
  const std::int64_t B = x.shape[0], C = x.shape[1], O = weight.shape[0];
  op.expect(groups > 0 && C % groups == 0 && O % groups == 0, "groups that divide the channels of x and y");
  op.expect_shape("weight", &weight, {O, C / groups, weight.shape[2], weight.shape[3]});
  Shape shape{B, O, 0, 0};
  for (std::size_t k = 0; k < 2; ++k) {  // sizes and attributes have 31 bits, so that nothing here has more than 63
    const std::int64_t room = x.shape[2 + k] * upsample + padding[k] + padding[k + 2];
    const std::int64_t window = (weight.shape[2 + k] - 1) * dilation[k] + 1;
    op.expect(room >= window, "a kernel no larger than x with its padding");
    shape[2 + k] = (room - window) / stride[k] + 1;
  }
  op.expect_shape("y", &y, shape);
  op.expect_shape("bias", op.input(2), {O});
  op.expect_shape("embedding", op.input(3), {B, O});
  op.expect_shape("residual", op.input(4), shape);
  for (std::size_t i = 0; i < 5; ++i) op.expect_float("input", op.input(i));
  op.expect_float("y", &y);
  op.expect_activation();
}

void check_matmul(const Operands& op) {
  const Value &a = *op.input(0), &b = *op.input(1), &y = *op.output(0);
  op.expect_rank("a", &a, 2, kAnyRank);
  const std::string& glu = op.text("glu");
  op.expect(glu.empty() || glu == "value_first" || glu == "gate_first", "glu \"\", value_first or gate_first");
  Shape shape = a.shape;
  const std::int64_t K = shape.back();
  op.expect_rank("y", &y, a.shape.size(), a.shape.size());
  const std::int64_t N = y.shape.back(), columns = glu.empty() ? N : 2 * N;
  shape.back() = N;
  op.expect_shape("y", &y, shape);
  Shape factor(shape.begin(), shape.end() - 2);
  factor.insert(factor.end(), {K, columns});
  op.expect_shape("b", &b, factor);
  op.expect_shape("bias", op.input(2), {columns});
  op.expect_shape("gate", op.input(3), shape);
  op.expect_shape("residual", op.input(4), shape);
  for (std::size_t i = 0; i < 5; ++i) op.expect_float("input", op.input(i));
  op.expect_float("y", &y);
  op.expect_activation();
}

void check_attention(const Operands& op) {
  const Value &q = *op.input(0), &k = *op.input(1);
  op.expect_rank("q", &q, 4, 4);
  op.expect_rank("k", &k, 4, 4);
  const std::int64_t B = q.shape[0], H = q.shape[1], N = q.shape[2], D = q.shape[3], G = k.shape[1], M = k.shape[2];
  op.expect(H % G == 0, "heads of k and v that divide those of q");
  op.expect_shape("k", &k, {B, G, M, D});
  op.expect_shape("v", op.input(2), {B, G, M, D});
  op.expect_shape("mask", op.input(3), {B, H, N, M});
  op.expect_shape("y", op.output(0), q.shape);
  op.expect(op.integer("causal") <= 1, "causal 0 or 1");
  for (std::size_t i = 0; i < 4; ++i) op.expect_float("input", op.input(i));
  op.expect_float("y", op.output(0));
}

void check_norm(std::string_view kind, const Operands& op) {
  const Value& x = *op.input(0);
  const bool is_group = kind == "group_norm";
  op.expect_rank("x", &x, is_group ? 2 : 1, kAnyRank);
  const std::int64_t channels = is_group ? x.shape[1] : x.shape.back();
  const Shape modulated = is_group ? Shape{x.shape[0], channels} : x.shape;
  op.expect_shape("weight", op.input(1), {channels});
  op.expect_shape("bias", op.input(2), {channels});
  op.expect_shape("scale", op.input(3), modulated);
  op.expect_shape("shift", op.input(4), modulated);
  op.expect_shape("residual", op.input(5), x.shape);
  op.expect_shape("y", op.output(0), x.shape);
  op.expect_shape("sum", op.output(1), x.shape);
  for (std::size_t i = 0; i < 6; ++i) op.expect_float("input", op.input(i));
  for (std::size_t i = 0; i < 2; ++i) op.expect_float("output", op.output(i));
  op.expect(op.real("eps") >= 0, "eps of at least 0");
  if (is_group) {
    op.expect(op.integer("groups") > 0 && channels % op.integer("groups") == 0, "groups that divide the channels");
    op.expect_activation();
  }
}

void check_generation(std::string_view kind, const Operands& op) {
  if (kind == "to_uint8") {
    const Value& x = *op.input(0);
    op.expect_rank("x", &x, 4, 4);
    op.expect_shape("x", &x, {x.shape[0], 3, x.shape[2], x.shape[3]});
    op.expect_shape("images", op.output(0), {x.shape[0], x.shape[2], x.shape[3], 3});
    op.expect_float("x", &x);
    op.expect_type("images", op.output(0), {Dtype::u8});
    return;
  }
  const bool is_start = kind == "initial_state";
  const Value &x = is_start ? *op.output(0) : *op.input(0), *m2 = op.input(4), *history = op.input(5);
  const Value* noise = is_start ? op.input(0) : op.input(3);  // or the seeds that it is made of
  op.expect_rank("x", &x, 2, kAnyRank);
  op.expect_type("x", &x, {Dtype::f32});
  if (!is_start && noise->dtype == Dtype::f32) {
    op.expect_shape("noise", noise, x.shape);
  } else {
    op.expect_shape("seeds", noise, {x.shape[0]});
    op.expect_type("seeds", noise, {Dtype::i64});
  }
  const Value *u = op.output(1), *row = is_start ? op.input(1) : op.input(2);
  op.expect_shape("u", u, x.shape);
  op.expect_float("u", u);
  op.expect_shape(is_start ? "scales" : "row", row, {is_start ? 2 : m2 == nullptr ? 9 : 11});
  op.expect_type(is_start ? "scales" : "row", row, {Dtype::f32});
  if (is_start) return;
  const Value *m = op.input(1), *mask = op.input(6), *known = op.input(7), *flag = op.output(2), *y = op.output(3);
  for (const Value* like_x : {m, m2, history, mask, known, op.output(0), y})
    op.expect_shape("m, m2, history, mask, known, x or y", like_x, x.shape);
  for (const Value* number : {m, m2}) op.expect_float("m or m2", number);
  for (const Value* state : {history, mask, known, op.output(0), y})
    op.expect_type("history, mask, known, x or y", state, {Dtype::f32});
  op.expect_shape("flag", flag, {x.shape[0]});
  op.expect_type("flag", flag, {Dtype::i32});
  op.expect((history == nullptr) == (y == nullptr), "y where there is history, and only there");
  op.expect((mask == nullptr) == (known == nullptr), "known where there is a mask, and only there");
}

}  // namespace

void check_shapes(const Op& op, const Operands& operands) {
  if (op.kind == "map") return check_map(op, operands);
  if (op.kind == "conv2d") return check_conv2d(operands);
  if (op.kind == "matmul") return check_matmul(operands);
  if (op.kind == "group_norm" || op.kind == "layer_norm" || op.kind == "rms_norm") return check_norm(op.kind, operands);
  if (op.kind == "attention") return check_attention(operands);
  if (op.kind == "softmax") return check_softmax(operands);
  if (op.kind == "reduce") return check_reduce(operands);
  if (op.kind == "gather") return check_gather(operands);
  check_generation(op.kind, operands);
}

}  // namespace fewstep

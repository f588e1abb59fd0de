#include "cpu/group_norm.h"

#include <cmath>

#include "cpu/attributes.h"
#include "cpu/gemm.h"

namespace fewstep::cpu {
namespace {

float element(const Operand& x, Moment moment, std::int64_t offset, float otherwise) noexcept {
  return x ? x.at<const float>(moment)[offset] : otherwise;
}

}  // namespace

GroupNorm::GroupNorm(const Problem& problem)
    : x(problem.inputs[0]),
      weight(problem.inputs[1]),
      bias(problem.inputs[2]),
      scale(problem.inputs[3]),
      shift(problem.inputs[4]),
      residual(problem.inputs[5]),
      y(problem.outputs[0]),
      sum(problem.outputs[1]),
      batch(x.value->shape[0]),
      channels(x.value->shape[1]),
      pixels(1),
      groups(attribute<std::int64_t>(problem.op, "groups")),
      eps(real_attribute(problem.op, "eps")),
      activation(activation_of(attribute<std::string>(problem.op, "activation"))) {
  for (std::size_t axis = 2; axis < x.value->shape.size(); ++axis) pixels *= x.value->shape[axis];
}

GroupNorm::Affine GroupNorm::affine(Moment moment, std::int64_t b, std::int64_t c, double mean,
                                    double inverse) const noexcept {
  const auto of_channel = [&](const Operand& p, float otherwise) {
    return element(p, moment, p ? c * p.value->strides[0] : 0, otherwise);
  };
  const auto of_image = [&](const Operand& p) {
    return element(p, moment, p ? b * p.value->strides[0] + c * p.value->strides[1] : 0, 0);
  };
  const double gain = 1.0 + of_image(scale);
  const double factor = of_channel(weight, 1) * gain * inverse;
  const auto centre = static_cast<float>(mean);  // what it leaves of the mean goes into the offset
  const double offset = of_channel(bias, 0) * gain + of_image(shift) - (mean - centre) * factor;
  return {centre, static_cast<float>(factor), static_cast<float>(offset)};
}

double GroupNorm::inverse(double variance) const noexcept { return 1 / std::sqrt(variance + eps); }

std::unique_ptr<Kernel> make_group_norm(const Problem& problem) {
  std::unique_ptr<Kernel> kernel = make_channels_last_norm(problem);
  return kernel ? std::move(kernel) : make_planar_norm(problem);
}

}  // namespace fewstep::cpu

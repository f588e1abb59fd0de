#include "cpu/simd/activation.h"
#include "cpu/simd/gemm.h"
#include "cpu/simd/lanes.h"

namespace fewstep::cpu::FEWSTEP_ISA {
namespace {

struct Row {
  const float *c, *glu, *embedding, *inner, *gate, *outer;
  float* y;
};

template <Activation A, typename Access>
void vector(const Finish& finish, const Row& row, std::int64_t i, Access access) {
  Vec x = access.get(row.c + i) * finish.scale;
  if (finish.bias) x += access.get(finish.bias + i);
  if (row.embedding) x += access.get(row.embedding + i);
  if (row.inner) x += access.get(row.inner + i);
  if (row.glu) {
    Vec g = access.get(row.glu + i) * finish.scale;
    if (finish.glu_bias) g += access.get(finish.glu_bias + i);
    x *= activated<A>(g);
  } else {
    x = activated<A>(x * finish.factor);
  }
  if (row.gate) x *= access.get(row.gate + i);
  if (row.outer) x += access.get(row.outer + i);
  access.put(row.y + i, x);
}

const float* at(const Finish::Side& side, std::int64_t row) {
  return side.rows ? side.rows[row] + side.offset : nullptr;
}

template <Activation A>
void finish_as(const Finish& finish) {
  for (std::int64_t r = 0; r < finish.rows; ++r) {
    if (finish.y.rows[r] == nullptr) continue;
    const float* c = finish.c + r * finish.pitch;
    const Row row{c,
                  finish.glu ? finish.glu + r * finish.pitch : nullptr,
                  at(finish.embedding, r),
                  at(finish.inner, r),
                  at(finish.gate, r),
                  at(finish.outer, r),
                  const_cast<float*>(at(finish.y, r))};
    std::int64_t i = 0;
    for (; i + kLanes <= finish.columns; i += kLanes) vector<A>(finish, row, i, Full{});
    if (i < finish.columns) vector<A>(finish, row, i, Part{finish.columns - i});
  }
}

}  // namespace

void finish(const Finish& finish) {
  switch (finish.activation) {
    case Activation::none:
      return finish_as<Activation::none>(finish);
    case Activation::silu:
      return finish_as<Activation::silu>(finish);
    case Activation::relu:
      return finish_as<Activation::relu>(finish);
    case Activation::gelu:
      return finish_as<Activation::gelu>(finish);
    case Activation::gelu_tanh:
      return finish_as<Activation::gelu_tanh>(finish);
    case Activation::sigmoid:
      return finish_as<Activation::sigmoid>(finish);
    case Activation::tanh:
      return finish_as<Activation::tanh>(finish);
  }
}

}  // namespace fewstep::cpu::FEWSTEP_ISA

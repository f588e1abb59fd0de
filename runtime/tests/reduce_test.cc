#include <cmath>
#include <string>

#include "kernel_case.h"

namespace fewstep::cpu {
namespace {

void check_reduce(Random& random, const std::string& kind, const Shape& shape, std::size_t axes, double mean) {
  KernelCase test;
  test.op = {"reduce", "test", {}, {}, {}, {}};
  test.op.attributes = {{"kind", kind}, {"axes", static_cast<std::int64_t>(axes)}};
  test.inputs = {any_tensor(random, shape)};
  test.inputs[0]->fill([&] { return mean + normal(random); });
  test.outputs = {any_tensor(random, Shape(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(axes)))};
  const Doubles x = test.inputs[0]->read();
  test.check(make_reduce, [&](const std::vector<Doubles>& got) {
    const std::size_t size = x.size() / got[0].size();
    for (std::size_t row = 0; row < got[0].size(); ++row) {
      double sum = 0, most = x[row * size], least = most;
      for (std::size_t e = row * size; e < (row + 1) * size; ++e) {
        sum += x[e];
        most = std::max(most, x[e]);
        least = std::min(least, x[e]);
      }
      const double average = sum / static_cast<double>(size);
      const double expected = kind == "mean" ? average : kind == "sum" ? sum : kind == "max" ? most : least;
      CHECK(near(got[0][row], expected, kind == "max" || kind == "min" ? 0 : ulp(expected)));
    }
  });
}

void test_reduce() {
  Random random(1);
  for (const char* kind : {"mean", "sum", "max", "min"}) {
    check_reduce(random, kind, {3, 5, 7}, 1, 0);
    check_reduce(random, kind, {2, 70, 4, 9}, 2, 100);
    check_reduce(random, kind, {2, 70, 4, 9}, 2, -100);
    check_reduce(random, kind, {5000}, 1, 1);
    check_reduce(random, kind, {1, 1}, 1, 1);
    check_reduce(random, kind, {130, 3}, 1, 1);
    check_reduce(random, kind, {2, 3, 4, 5}, 3, 1);
  }
}

void test_nan_is_seen() {
  for (const char* kind : {"mean", "sum", "max", "min"}) {
    for (const std::size_t at : {0u, 5u, 16u, 18u}) {
      KernelCase test;
      test.op = {"reduce", "test", {}, {}, {}, {}};
      test.op.attributes = {{"kind", std::string(kind)}, {"axes", std::int64_t{1}}};
      test.inputs = {tensor({2, 19})};
      Doubles x(38, 1.0);
      x[19 + at] = std::nan("");
      test.inputs[0]->fill(x);
      test.outputs = {tensor({2})};
      test.check(make_reduce, [](const std::vector<Doubles>& got) {
        CHECK(!std::isnan(got[0][0]));
        CHECK(std::isnan(got[0][1]));
      });
    }
  }
}

void check_gather(Random& random, Dtype dtype, const Shape& indices, const Shape& row) {
  Shape table{11}, out = indices;
  table.insert(table.end(), row.begin(), row.end());
  out.insert(out.end(), row.begin(), row.end());
  KernelCase test;
  test.op = {"gather", "test", {}, {}, {}, {}};
  test.inputs = {any_tensor(random, table, dtype), any_tensor(random, indices, Dtype::i64)};
  double next = 0;
  test.inputs[0]->fill([&] { return ++next; });
  test.inputs[1]->fill([&] { return static_cast<double>(between(random, 0, 10)); });
  test.outputs = {any_tensor(random, out, dtype)};
  const Doubles values = test.inputs[0]->read(), which = test.inputs[1]->read();
  test.check(make_gather, [&](const std::vector<Doubles>& got) {
    const auto size = static_cast<std::size_t>(count_of(row));
    for (std::size_t e = 0; e < got[0].size(); ++e) {
      CHECK(got[0][e] == values[static_cast<std::size_t>(which[e / size]) * size + e % size]);
    }
  });
}

void test_gather() {
  Random random(2);
  for (int trial = 0; trial < 10; ++trial) {
    check_gather(random, Dtype::f32, {3}, {16});
    check_gather(random, Dtype::f32, {2, 5}, {3, 4});
    check_gather(random, Dtype::i64, {}, {7});
    check_gather(random, Dtype::f32, {4}, {});
  }
}

void test_an_index_out_of_range() {
  for (const double index : {-1.0, 5.0, 1e15}) {
    KernelCase test;
    test.op = {"gather", "labels", {}, {}, {}, {}};
    test.inputs = {tensor({5, 2}), tensor({3}, Dtype::i64)};
    test.inputs[0]->fill([] { return 1.0; });
    test.inputs[1]->fill({4, index, 0});
    test.outputs = {tensor({3, 2})};
    std::string fault;
    test.run(make_gather, Isa::portable, 1, &fault);
    CHECK(fault.find("labels") != std::string::npos && fault.find("from 0 to 4") != std::string::npos);
    CHECK(test.results[0] == (Doubles{1, 1, 0, 0, 1, 1}));
    test.inputs[1]->fill([] { return 4.0; });
    test.run(make_gather, Isa::portable, 1, &fault);
    CHECK(fault.empty());
  }
}

}  // namespace
}  // namespace fewstep::cpu

int main() {
  fewstep::cpu::test_reduce();
  fewstep::cpu::test_nan_is_seen();
  fewstep::cpu::test_gather();
  fewstep::cpu::test_an_index_out_of_range();
}

#include <stdexcept>
#include <string>

#include "check.h"
#include "cuda_check.h"
#include "cuda_plan.h"

namespace {

const Numbers kX{1, -2, 3, 5}, kY{0.5f, 4, -1, 2};

// Where the first state is an input a run begins with any step: its graph is captured when it is first asked for.
void test_later_steps() {
  for (const bool graph : {true, false}) {
    fake_cuda::reset();
    Generation made = make_generation();
    auto plan = std::make_shared<fewstep::Plan>(*made.plan);
    plan->inputs = {{"state", made.x}, {"y", made.y}};
    made.plan = plan;
    {
      const auto device = open(made, graph);
      CHECK(contains(device->describe(), graph ? "\"captures\": 2" : "\"captures\": 0"));
      for (const std::int64_t first : {1, 0, 1, 1}) {
        CHECK(request(*device, made, 2, kX, kY, first) == made.expected(2, kX, kY, first));
      }
      CHECK(contains(device->describe(), graph ? "\"captures\": 3" : "\"captures\": 0"));
      CHECK(contains(device->describe(), graph ? "\"graph_launches\": 4" : "\"graph_launches\": 0"));
      CHECK(contains(device->describe(), "\"launches\": {\"1\": 7, \"2\": 10}"));
      std::string message;
      try {
        device->run(1, 1);
      } catch (const std::invalid_argument& error) {
        message = error.what();
      }
      CHECK(message == "steps: expected 1, 2, got 1 from step 1");
    }
    check_clean();
  }
}

}  // namespace

int main() { test_later_steps(); }

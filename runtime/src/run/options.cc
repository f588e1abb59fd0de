#include "run/options.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace fewstep {
namespace {

template <typename Integer>
Integer number(std::string_view option, std::string_view text, Integer low, Integer high) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    throw std::invalid_argument(std::string(option) + ": expected an integer from " + std::to_string(low) + " to " +
                                std::to_string(high) + ", got \"" + std::string(text) + "\"");
  }
  return value;
}

std::pair<std::string, std::string> label(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos || equals + 1 == text.size()) {
    throw std::invalid_argument("--label: expected TABLE=VALUE, got \"" + std::string(text) + "\"");
  }
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

}  // namespace

const char* const kUsage =
    "usage: fewstep-run PLAN [options]\n"
    "  -o, --output FILE     PNG to write, several pictures as one sheet (out.png)\n"
    "  -n N                  pictures (1)\n"
    "  --seed S              picture i has seed S + i (random)\n"
    "  --steps N             a step count of the plan (its default)\n"
    "  --label TABLE=VALUE   may be repeated; a table left out is drawn from the seed\n"
    "  --device DEVICE       cpu or cuda (the one the plan was compiled for)\n"
    "  --index N             of several GPUs, from 0 (0)\n"
    "  --threads N           of a CPU (all cores)\n"
    "  --describe            print what the device chose, as JSON\n"
    "exit status: 0 done, 1 the plan or the device failed, 2 the command line is wrong\n";

RunOptions parse_options(std::span<const char* const> arguments) {
  RunOptions options;
  options.device.cpu.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view option = arguments[i];
    const auto value = [&]() -> std::string_view {
      if (i + 1 == arguments.size()) throw std::invalid_argument(std::string(option) + ": expected a value");
      return arguments[++i];
    };
    if (option == "-h" || option == "--help") {
      options.help = true;
    } else if (option == "--describe") {
      options.describe = true;
    } else if (option == "-o" || option == "--output") {
      options.output = value();
    } else if (option == "-n") {
      options.n = number<std::int64_t>(option, value(), 1, 65536);
    } else if (option == "--seed") {
      options.seed = number<std::uint64_t>(option, value(), 0, ~std::uint64_t{0});
    } else if (option == "--steps") {
      options.steps = number<std::int64_t>(option, value(), 1, 1 << 20);
    } else if (option == "--label") {
      options.labels.push_back(label(value()));
    } else if (option == "--device") {
      options.device.name = value();
    } else if (option == "--index") {
      options.device.cuda.index = number<int>(option, value(), 0, 1024);
    } else if (option == "--threads") {
      options.device.cpu.threads = number<int>(option, value(), 1, 1024);
    } else if (option.starts_with('-') && option.size() > 1) {
      throw std::invalid_argument("no option is named " + std::string(option));
    } else if (options.plan.empty()) {
      options.plan = option;
    } else {
      throw std::invalid_argument("expected one plan, got \"" + options.plan.string() + "\" and \"" +
                                  std::string(option) + "\"");
    }
  }
  if (options.plan.empty() && !options.help) throw std::invalid_argument("expected a plan");
  return options;
}

}  // namespace fewstep

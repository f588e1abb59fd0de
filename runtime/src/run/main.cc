#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <random>
#include <stdexcept>

#include "fewstep/generation.h"
#include "fewstep/image.h"
#include "run/options.h"

namespace {

using namespace fewstep;

// Which table's which row, of each label that was asked for; -1 where none was.
std::vector<std::int64_t> asked_rows(const Generation& generation, const RunOptions& options) {
  const std::vector<LabelTable>& tables = generation.tables();
  std::vector<std::int64_t> rows(tables.size(), -1);
  for (const auto& [name, value] : options.labels) {
    const auto table = std::ranges::find(tables, name, &LabelTable::name);
    if (table == tables.end()) {
      std::string names;
      for (const LabelTable& other : tables) names += (names.empty() ? "" : ", ") + other.name;
      throw std::invalid_argument("--label: no table is named " + name + ": the plan has " + names);
    }
    const auto found = std::ranges::find(table->values, value);
    if (found == table->values.end()) {
      std::string values;
      for (const std::string& other : table->values) values += (values.empty() ? "" : ", ") + other;
      throw std::invalid_argument("--label: " + name + " is one of " + values + ", got " + value);
    }
    rows[static_cast<std::size_t>(table - tables.begin())] = found - table->values.begin();
  }
  return rows;
}

std::uint64_t random_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32 | device();
}

void run(const RunOptions& options) {
  const std::unique_ptr<Program> program = open_program(options.plan, options.device);
  Generation generation(*program);
  const auto n = static_cast<std::size_t>(options.n);
  const std::uint64_t seed = options.seed ? *options.seed : random_seed();
  const std::int64_t steps = options.steps == 0 ? generation.default_steps() : options.steps;
  const std::vector<std::int64_t> asked = asked_rows(generation, options);
  std::vector<std::uint64_t> seeds(n);
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < n; ++i) {
    seeds[i] = seed + i;
    for (std::size_t table = 0; table < asked.size(); ++table) {
      rows.push_back(asked[table] >= 0 ? asked[table] : generation.drawn_row(seeds[i], table));
    }
  }
  std::vector<std::uint8_t> rgb(n * static_cast<std::size_t>(generation.height() * generation.width() * 3));
  const auto start = std::chrono::steady_clock::now();
  generation.generate(seeds, rows, steps, rgb);
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
  write_file(options.output, png_of(contact_sheet(rgb, options.n, generation.height(), generation.width())));
  if (options.describe) std::printf("%s\n", program->describe().c_str());
  std::fprintf(stderr, "%s: %zu of %lld x %lld, seed %llu, %lld steps, %.2f ms\n", options.output.c_str(), n,
               static_cast<long long>(generation.width()), static_cast<long long>(generation.height()),
               static_cast<unsigned long long>(seed), static_cast<long long>(steps), spent.count());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const RunOptions options = parse_options({argv + 1, argv + std::max(argc, 1)});
    if (options.help) {
      std::fputs(kUsage, stdout);
    } else {
      run(options);
    }
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "fewstep-run: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fewstep-run: %s\n", error.what());
    return 1;
  }
}

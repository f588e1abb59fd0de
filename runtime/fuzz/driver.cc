// What libFuzzer does for clang, for GCC: inputs that reach new code are kept and mutated further.
//
//   TARGET FOLDER... [-max_total_time=60] [-seed=1] [-runs=0]
//
// The same seed gives the same inputs. An input that ends the process is written to crash-input in the current folder.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
// Of a target that knows how its inputs are made; null where there is none.
extern "C" __attribute__((weak)) std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                                     std::size_t most, unsigned seed);
extern "C" void __sanitizer_set_death_callback(void (*callback)());
extern "C" void __sanitizer_cov_trace_pc();

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kEdges = 1 << 16, kMostBytes = 1 << 15;
constexpr unsigned kMostSeconds = 10;  // of one input

std::array<std::uint8_t, kEdges> hits;
std::uintptr_t previous = 0;
Bytes current;

// Async-signal-safe: only system calls.
void save() {
  const int file = open("crash-input", O_CREAT | O_TRUNC | O_WRONLY, 0644);
  std::size_t at = 0;
  while (file >= 0 && at < current.size()) {
    const ssize_t written = write(file, current.data() + at, current.size() - at);
    if (written <= 0) break;
    at += static_cast<std::size_t>(written);
  }
}

void end(int signal) {
  save();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// Powers of two of how often each edge was taken, so that loops count as coverage a few times.
std::uint8_t bucket(std::uint8_t count) {
  return static_cast<std::uint8_t>(count < 4 ? count : count < 16 ? 4 : count < 128 ? 8 : 16);
}

class Coverage {
 public:
  bool adds() {
    bool is_new = false;
    for (std::size_t begin = 0; begin < kEdges; begin += kNone.size()) {
      if (std::memcmp(&hits[begin], kNone.data(), kNone.size()) == 0) continue;
      for (std::size_t i = begin; i < begin + kNone.size(); ++i) {
        if (hits[i] == 0) continue;
        const auto seen = static_cast<std::uint8_t>(bucket(hits[i]) | seen_[i]);
        edges_ += seen_[i] == 0;
        is_new |= seen != seen_[i];
        seen_[i] = seen;
      }
    }
    return is_new;
  }
  std::size_t edges() const { return edges_; }

 private:
  static constexpr std::array<std::uint8_t, 64> kNone{};
  std::array<std::uint8_t, kEdges> seen_{};
  std::size_t edges_ = 0;
};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }

  // Half of the time of the first inputs, the longer of two.
  Bytes operator()(const std::vector<Bytes>& corpus, std::size_t first) {
    Bytes out = corpus[below(corpus.size())];
    if (below(2) == 0) {
      const Bytes &a = corpus[below(first)], &b = corpus[below(first)];
      out = a.size() < b.size() ? b : a;
    }
    if (&LLVMFuzzerCustomMutator != nullptr) {
      const std::size_t size = out.size();
      out.resize(kMostBytes);
      out.resize(LLVMFuzzerCustomMutator(out.data(), size, kMostBytes, static_cast<unsigned>(random_())));
      return out;
    }
    for (std::size_t n = std::size_t{1} << below(3); n > 0; --n) mutate(out, corpus[below(corpus.size())]);
    if (out.size() > kMostBytes) out.resize(kMostBytes);
    return out;
  }

  void mutate(Bytes& out, const Bytes& other) {
    const std::size_t at = below(out.size() + 1), length = std::min(below(32) + 1, out.size() - at);
    const auto place = out.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(10)) {
      case 0:
        if (length > 0) out[at] = static_cast<std::uint8_t>(out[at] ^ 1U << below(8));
        break;
      case 1:
        out.erase(place, place + static_cast<std::ptrdiff_t>(length));
        break;
      case 2: {
        const Bytes copy(place, place + static_cast<std::ptrdiff_t>(length));
        out.insert(place, copy.begin(), copy.end());
        break;
      }
      case 3:
        insert(out, at, kTokens[below(std::size(kTokens))]);
        break;
      case 4:
      case 7:
      case 8:
      case 9:
        number(out);
        break;
      case 5:
        if (!other.empty()) {
          const std::size_t from = below(other.size()), count = std::min(below(200) + 1, other.size() - from);
          out.insert(place, other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + count));
        }
        break;
      default:
        for (std::size_t i = 0; i < std::min<std::size_t>(length, 8); ++i)
          out[at + i] = static_cast<std::uint8_t>(random_());
    }
  }

 private:
  // Another number where one is, since headers are full of them.
  void number(Bytes& out) {
    const auto is_digit = [](std::uint8_t byte) { return byte >= '0' && byte <= '9'; };
    const auto begin =
        std::find_if(out.begin() + static_cast<std::ptrdiff_t>(below(out.size() + 1)), out.end(), is_digit);
    const auto at = static_cast<std::size_t>(begin - out.begin());
    out.erase(begin, std::find_if_not(begin, out.end(), is_digit));
    const std::string small = std::to_string(below(130));
    insert(out, at, below(4) == 0 ? kNumbers[below(std::size(kNumbers))] : std::string_view(small));
  }

  static void insert(Bytes& out, std::size_t at, std::string_view text) {
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(at), text.begin(), text.end());
  }

  static constexpr std::string_view kNumbers[] = {"0",
                                                  "1",
                                                  "-1",
                                                  "63",
                                                  "64",
                                                  "65",
                                                  "255",
                                                  "2147483647",
                                                  "2147483648",
                                                  "4294967296",
                                                  "1099511627776",
                                                  "1099511627777",
                                                  "9223372036854775807",
                                                  "9223372036854775808",
                                                  "-0",
                                                  "1.5",
                                                  "1e309"};
  static constexpr std::string_view kTokens[] = {"{",    "}",    "[",       "]",       ",",       ":",       "\"",
                                                 "null", "true", "[0]",     "\"a\":",  "\\u0000", "\\ud800", "\\",
                                                 "\xff", " ",    "\"F32\"", "\"I64\"", "\"U8\""};

  std::mt19937_64 random_;
};

// Of a block that ends where the input does.
void run(const Bytes& input) {
  current = input;
  const auto block = std::make_unique<std::uint8_t[]>(input.size());
  std::copy(input.begin(), input.end(), block.get());
  hits.fill(0);
  previous = 0;
  alarm(kMostSeconds);
  LLVMFuzzerTestOneInput(block.get(), input.size());
  alarm(0);
}

Mutator* engine = nullptr;

std::uint64_t option(int count, char** words, std::string_view name, std::uint64_t otherwise) {
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word.starts_with(name)) otherwise = std::strtoull(words[i] + name.size(), nullptr, 10);
  }
  return otherwise;
}

}  // namespace

// Called at every edge of what is built with -fsanitize-coverage=trace-pc; places are relative, since programs move.
extern "C" void __sanitizer_cov_trace_pc() {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
                    reinterpret_cast<std::uintptr_t>(&__sanitizer_cov_trace_pc);
  std::uint8_t& count = hits[(here * 0x9e3779b97f4a7c15 >> 48 ^ previous) % kEdges];
  count = static_cast<std::uint8_t>(count + (count < 255));
  previous = here * 0x9e3779b97f4a7c15 >> 49;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most) {
  Bytes bytes(data, data + size);
  engine->mutate(bytes, Bytes(bytes));
  bytes.resize(std::min(bytes.size(), most));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

int main(int count, char** words) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s FOLDER... [-max_total_time=60] [-seed=1] [-runs=0]\n", words[0]);
    return 2;
  }
  __sanitizer_set_death_callback(save);
  for (const int signal : {SIGABRT, SIGALRM, SIGFPE, SIGILL, SIGTRAP}) std::signal(signal, end);
  const std::uint64_t seconds = option(count, words, "-max_total_time=", 60);
  const std::uint64_t runs = option(count, words, "-runs=", 0);
  Mutator mutate(option(count, words, "-seed=", 1));
  engine = &mutate;

  std::vector<std::filesystem::path> paths;
  for (int i = 1; i < count; ++i) {
    if (words[i][0] == '-') continue;
    for (const auto& entry : std::filesystem::directory_iterator(words[i])) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> corpus;
  Coverage coverage;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    run(corpus.back());
    coverage.adds();
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: expected folders with files to begin with\n", words[0]);
    return 2;
  }
  const std::size_t seeds = corpus.size(), first = coverage.edges();
  std::uint64_t executions = 0;
  const auto begin = std::chrono::steady_clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  while (runs > 0 ? executions < runs : passed() < static_cast<double>(seconds)) {
    Bytes input = mutate(corpus, seeds);
    run(input);
    ++executions;
    if (coverage.adds()) corpus.push_back(std::move(input));
  }
  std::printf("%s: %llu executions, %.0f a second, %zu edges (%zu of the first inputs), %zu inputs kept\n", words[0],
              static_cast<unsigned long long>(executions), static_cast<double>(executions) / passed(), coverage.edges(),
              first, corpus.size());
  return coverage.edges() > 0 ? 0 : 1;
}

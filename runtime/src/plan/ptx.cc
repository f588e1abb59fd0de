#include <algorithm>
#include <array>
#include <charconv>

#include "fewstep/error.h"
#include "plan/image.h"
#include "plan/utf8.h"

namespace fewstep {
namespace {

constexpr std::size_t kMostBytes = std::size_t{16} << 20, kMostParams = 512;
constexpr std::string_view kNewest =
    "8.0";  // PTX ISA, "Release notes": of CUDA 12.0, the oldest driver that runs plans
constexpr std::int64_t kMostNumber = 1 << 20;

struct Type {
  std::string_view name;
  std::int64_t size;
};
constexpr std::array kTypes{Type{".b8", 1},  Type{".u8", 1},  Type{".s8", 1},  Type{".b16", 2}, Type{".u16", 2},
                            Type{".s16", 2}, Type{".f16", 2}, Type{".b32", 4}, Type{".u32", 4}, Type{".s32", 4},
                            Type{".f32", 4}, Type{".b64", 8}, Type{".u64", 8}, Type{".s64", 8}, Type{".f64", 8}};
constexpr std::array<std::string_view, 5> kPointers{".ptr", ".global", ".const", ".local", ".shared"};

[[noreturn]] void fail(const std::string& what) { throw PlanError("not legal PTX: " + what); }

std::int64_t size_of(std::string_view type) {
  const auto* found = std::ranges::find(kTypes, type, &Type::name);
  return found == kTypes.end() ? 0 : found->size;
}

bool is_plain(std::byte byte) {
  const auto c = std::to_integer<unsigned char>(byte);
  return c == '\n' || c == '\t' || (c >= ' ' && c <= '~');
}

std::string_view text_of(std::span<const std::byte> image) {
  if (image.size() > kMostBytes) fail("it has more than 16 MiB");
  if (image.empty() || image.back() != std::byte{0}) fail("it does not end with a zero");
  const std::span<const std::byte> text = image.first(image.size() - 1);
  if (!std::ranges::all_of(text, is_plain)) fail("it is not plain text");
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

// PTX as words (names, numbers and directives), strings, and signs of one character; without comments.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) { next(); }

  std::string_view peek() const noexcept { return word_; }  // empty at the end
  std::string_view next() {
    const std::string_view word = word_;
    skip_blanks();
    std::size_t size = rest_.empty() ? 0 : 1;
    if (size != 0 && rest_[0] == '"') {
      size = rest_.find('"', 1) + 1;
      if (size == 0) fail("a string without an end");
    } else if (size != 0 && is_of_word(rest_[0])) {
      size = static_cast<std::size_t>(std::ranges::find_if_not(rest_, is_of_word) - rest_.begin());
    }
    word_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return word;
  }
  void expect(std::string_view word) {
    if (peek() != word) fail("expected " + in_quotes(std::string(word)) + ", got " + in_quotes(shown()));
    next();
  }
  bool take_if(std::string_view word) {
    if (peek() != word) return false;
    next();
    return true;
  }
  std::int64_t number() {
    std::int64_t out = 0;
    const std::string_view word = peek();
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
    const bool is_whole = error == std::errc() && end == word.data() + word.size();
    if (!is_whole || out < 0 || out > kMostNumber) fail("expected a number, got " + in_quotes(shown()));
    next();
    return out;
  }
  std::string shown() const { return std::string(word_.substr(0, 64)); }

 private:
  static bool is_of_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           c == '%' || c == '.';
  }
  void skip_blanks() {
    while (!rest_.empty()) {
      if (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\n') {
        rest_.remove_prefix(1);
      } else if (rest_.starts_with("//")) {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (rest_.starts_with("/*")) {
        const std::size_t end = rest_.find("*/", 2);
        if (end == std::string_view::npos) fail("a comment without an end");
        rest_.remove_prefix(end + 2);
      } else {
        return;
      }
    }
  }

  std::string_view rest_, word_;
};

void read_head(Words& words, std::int64_t architecture) {
  words.expect(".version");
  const std::string_view version = words.peek();
  if (version.size() != 3 || version[0] < '1' || version[1] != '.' || version > kNewest) {
    fail("expected a version of at most 8.0, got " + in_quotes(words.shown()));
  }
  words.next();
  words.expect(".target");
  words.expect("sm_" + std::to_string(architecture));
  words.expect(".address_size");
  words.expect("64");
}

// .align 64 .b8 name[128], up to the name and its count: its bytes.
std::int64_t read_declared(Words& words) {
  std::int64_t size = 0, count = 1;
  while (words.peek().starts_with('.')) {
    const std::string_view word = words.next();
    if (word == ".align") {
      words.number();
    } else if (const std::int64_t found = size_of(word); found != 0 && size == 0) {
      size = found;
    } else if (std::ranges::find(kPointers, word) == kPointers.end()) {
      fail("a declaration with " + in_quotes(std::string(word.substr(0, 64))));
    }
  }
  if (size == 0 || words.peek().empty()) fail("a declaration without a type");
  words.next();
  if (words.take_if("[")) {
    count = words.number();
    words.expect("]");
  }
  return size * count;
}

std::int64_t read_extent(Words& words) {
  std::int64_t extent = words.number();
  for (int axis = 1; axis < 3 && words.take_if(","); ++axis) extent = std::min(extent * words.number(), kMostNumber);
  return extent;
}

void read_entry(Words& words, std::string_view entry, ImageKernel& kernel) {
  if (words.peek() != entry) fail("it has no kernel " + in_quotes(std::string(entry)));
  words.next();
  words.expect("(");
  while (!words.take_if(")")) {
    if (!kernel.params.empty()) words.expect(",");
    if (kernel.params.size() == kMostParams) fail("it has too many parameters");
    words.expect(".param");
    kernel.params.push_back(read_declared(words));
  }
  while (words.peek() != "{") {
    const std::string shown = words.shown();
    const std::string_view directive = words.next();
    if (directive == ".reqntid") {
      kernel.threads = read_extent(words);
    } else if (directive == ".maxntid") {
      kernel.most_threads = read_extent(words);
    } else if (directive == ".reqnctapercluster") {
      kernel.cluster = read_extent(words);
    } else if (directive == ".minnctapersm" || directive == ".maxnreg") {
      words.number();
    } else {
      fail("a kernel with " + in_quotes(shown));
    }
  }
}

}  // namespace

ImageKernel read_ptx(std::span<const std::byte> image, std::string_view entry, std::int64_t architecture) {
  Words words(text_of(image));
  read_head(words, architecture);
  ImageKernel kernel;
  bool has_entry = false, is_extern = false;
  std::int64_t depth = 0;
  while (!words.peek().empty()) {
    const std::string_view word = words.next();
    if (word == ".entry") {
      if (has_entry || depth != 0) fail("it has more than one kernel");
      has_entry = true;
      read_entry(words, entry, kernel);
    } else if (word == ".shared" && !is_extern) {
      kernel.shared = std::min(kernel.shared + read_declared(words), std::int64_t{1} << 30);
    } else if (word == "{") {
      ++depth;
    } else if (word == "}" && --depth < 0) {
      fail("a brace too many");
    }
    is_extern = word == ".extern";
  }
  if (depth != 0) fail("it ends within braces");
  if (!has_entry) fail("it has no kernel " + in_quotes(std::string(entry)));
  return kernel;
}

}  // namespace fewstep

#include "plan/sha256.h"

#include <cstdint>
#include <string>
#include <vector>

#include "check.h"

namespace {

std::string digest(const std::string& text, bool is_portable) {
  return fewstep::hex(fewstep::sha256(std::as_bytes(std::span(text)), is_portable));
}

// FIPS 180-4's examples: one block, two blocks, and a million letters; and the empty message.
void test_known_answers() {
  for (const bool is_portable : {false, true}) {
    CHECK(digest("", is_portable) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(digest("abc", is_portable) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", is_portable) ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(digest(std::string(1000000, 'a'), is_portable) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

// Both paths agree at every length around the edges of blocks and of the padding, at any alignment.
void test_lengths_and_alignments() {
  std::string data(300, '\0');
  std::uint32_t state = 1;
  for (char& c : data) c = static_cast<char>(static_cast<unsigned char>((state = state * 1664525 + 1013904223) >> 24));
  for (std::size_t length = 0; length < 200; ++length) {
    const std::string part = data.substr(length % 7, length);
    CHECK(digest(part, false) == digest(part, true));
    const auto bytes = std::as_bytes(std::span(data)).subspan(length % 7, length);
    CHECK(fewstep::hex(fewstep::sha256(bytes)) == digest(part, true));
  }
}

}  // namespace

int main() {
  test_known_answers();
  test_lengths_and_alignments();
}

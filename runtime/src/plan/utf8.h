#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fewstep {

// The first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7), or text.size().
std::size_t utf8_end(std::string_view text) noexcept;

// Appends a code point, which is no surrogate and at most 0x10ffff.
void append_utf8(std::string& text, char32_t code);

// In quotes on one line of ASCII, for an error: what cannot be printed as \xNN, and at most 80 bytes of it.
std::string in_quotes(std::string_view text);

}  // namespace fewstep

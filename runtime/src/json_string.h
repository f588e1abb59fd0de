#pragma once

#include <string>
#include <string_view>

namespace fewstep {

std::string json_string(std::string_view utf8);  // as a JSON string

}  // namespace fewstep

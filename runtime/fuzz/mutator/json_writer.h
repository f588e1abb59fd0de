#pragma once

#include <string>

#include "plan/json.h"

// A value as text that parse_json reads back as the same value.
std::string to_text(const fewstep::Json& json);

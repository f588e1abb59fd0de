#pragma once

#include <nanobind/nanobind.h>

void bind_errors();
void bind_program(nanobind::module_& m);

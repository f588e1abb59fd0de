#pragma once

#include <nanobind/nanobind.h>

void bind_errors();
void bind_plan(nanobind::module_& m);
void bind_program(nanobind::module_& m);

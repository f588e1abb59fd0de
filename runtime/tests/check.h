#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the test with the place and the text of a condition that does not hold.
#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      std::exit(EXIT_FAILURE);                                                           \
    }                                                                                    \
  } while (false)

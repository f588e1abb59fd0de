/* The C interface, compiled as C and linked to libfewstep.so alone. With a plan it makes pictures of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fewstep/fewstep.h"

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      exit(EXIT_FAILURE);                                                           \
    }                                                                               \
  } while (0)

static char message[200];

static void test_refusals(void) {
  fewstep_program* program = (fewstep_program*)message;
  CHECK(fewstep_open("no-such-plan.fsp", NULL, &program, message, sizeof message) == FEWSTEP_BAD_PLAN);
  CHECK(program == NULL && strstr(message, "no-such-plan.fsp") != NULL && strchr(message, '\n') == NULL);
  char small[8];
  memset(small, 'x', sizeof small);
  CHECK(fewstep_open("no-such-plan.fsp", NULL, &program, small, 5) == FEWSTEP_BAD_PLAN);
  CHECK(strlen(small) == 4 && small[5] == 'x');
  CHECK(fewstep_open("no-such-plan.fsp", NULL, &program, NULL, 0) == FEWSTEP_BAD_PLAN);
  CHECK(fewstep_open(NULL, NULL, &program, message, sizeof message) == FEWSTEP_WRONG_CALL);
  CHECK(strcmp(message, "path must not be NULL") == 0);
  CHECK(fewstep_open("a.fsp", NULL, NULL, message, sizeof message) == FEWSTEP_WRONG_CALL);
  CHECK(fewstep_generate(NULL, NULL, 1, NULL, 0, NULL, 0, message, sizeof message) == FEWSTEP_WRONG_CALL);
  CHECK(fewstep_run(NULL, 1, 0, NULL, 0, NULL, 0, message, sizeof message) == FEWSTEP_WRONG_CALL);
  fewstep_close(NULL);
}

static void test_pictures(const char* plan) {
  fewstep_options options = {"cpu", 2, 0};
  fewstep_program* program = NULL;
  CHECK(fewstep_open(plan, &options, &program, message, sizeof message) == FEWSTEP_OK);
  CHECK(strchr(fewstep_model(program), '{') != NULL);
  const int64_t height = fewstep_height(program), width = fewstep_width(program);
  CHECK(height > 0 && width > 0 && fewstep_label_columns(program) >= 0);
  const size_t picture = (size_t)(height * width * 3);
  const uint64_t seeds[3] = {7, UINT64_MAX, 8};
  uint8_t* all = malloc(3 * picture);
  uint8_t* one = malloc(picture);
  CHECK(fewstep_generate(program, seeds, 3, NULL, 0, all, 3 * picture, message, sizeof message) == FEWSTEP_OK);
  for (int i = 0; i < 3; ++i) {
    CHECK(fewstep_generate(program, seeds + i, 1, NULL, 0, one, picture, message, sizeof message) == FEWSTEP_OK);
    CHECK(memcmp(one, all + (size_t)i * picture, picture) == 0);
  }
  CHECK(memcmp(all, all + picture, picture) != 0);
  CHECK(fewstep_generate(program, seeds, 3, NULL, 0, all, 3 * picture - 1, message, sizeof message) ==
        FEWSTEP_WRONG_CALL);
  CHECK(fewstep_generate(program, seeds, 0, NULL, 0, all, 0, message, sizeof message) == FEWSTEP_WRONG_CALL);
  CHECK(fewstep_generate(program, seeds, 1, NULL, 999, one, picture, message, sizeof message) == FEWSTEP_WRONG_CALL);
  const int64_t bad[64] = {-1};
  if (fewstep_label_columns(program) > 0) {
    CHECK(fewstep_generate(program, seeds, 1, bad, 0, one, picture, message, sizeof message) == FEWSTEP_WRONG_CALL);
  }
  fewstep_tensor tensor = {"nonsense", one, picture};
  CHECK(fewstep_run(program, 1, 0, &tensor, 1, NULL, 0, message, sizeof message) == FEWSTEP_WRONG_CALL);
  printf("%s %lld x %lld\n", fewstep_version(), (long long)width, (long long)height);
  free(one);
  free(all);
  fewstep_close(program);
}

int main(int argc, char** argv) {
  test_refusals();
  CHECK(fewstep_version()[0] >= '0' && fewstep_version()[0] <= '9');
  if (argc > 1) test_pictures(argv[1]);
  return 0;
}

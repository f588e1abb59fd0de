#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs plans from any language. A program may be called from several threads: they are served one after another. Every
   function that can fail writes one line to `message` (size bytes with the final 0; cut off if longer; may be NULL). */
typedef struct fewstep_program fewstep_program;

typedef enum {
  FEWSTEP_OK = 0,
  FEWSTEP_WRONG_CALL = 1,    /* an argument: nothing was run */
  FEWSTEP_BAD_PLAN = 2,      /* the file */
  FEWSTEP_OUT_OF_MEMORY = 3, /* retry later, or with a smaller plan */
  FEWSTEP_NUMERICAL = 4,     /* NaN or Inf was seen: give the request up */
  FEWSTEP_UNAVAILABLE = 5,   /* no such device, library or thread */
  FEWSTEP_FATAL = 6          /* only a new process helps */
} fewstep_status;

typedef struct {
  const char* device; /* "cpu", "cuda", or NULL for the one the plan was compiled for */
  int32_t threads;    /* of a CPU: at least 1 */
  int32_t index;      /* of a GPU: which */
} fewstep_options;

typedef struct {
  const char* name;
  void* data;  /* contiguous, in the value's own type and shape */
  size_t size; /* bytes: exactly the value's */
} fewstep_tensor;

const char* fewstep_version(void);
/* options: NULL for the plan's device, one thread, GPU 0. On success *program is to be closed, else it is NULL. */
fewstep_status fewstep_open(const char* path, const fewstep_options* options, fewstep_program** program, char* message,
                            size_t size);
void fewstep_close(fewstep_program* program); /* may be NULL; no call may be under way */

/* What the plan says of its model: JSON, which lives as long as the program. */
const char* fewstep_model(const fewstep_program* program);
/* Of one picture, and the columns of labels; 0 if the plan makes no pictures. */
int64_t fewstep_height(const fewstep_program* program);
int64_t fewstep_width(const fewstep_program* program);
int64_t fewstep_label_columns(const fewstep_program* program);
/* Writes n pictures (n, height, width, 3) of 8-bit RGB. labels: rows (n, columns), or NULL: drawn from the seeds.
   steps: a count of the plan, or 0 for its default. */
fewstep_status fewstep_generate(fewstep_program* program, const uint64_t* seeds, int64_t n, const int64_t* labels,
                                int64_t steps, uint8_t* rgb, size_t rgb_size, char* message, size_t size);

/* Every input of the plan to those outputs that are wanted. steps: 1 for a network. first: the step it begins with, 0
   unless the plan has the input "state". */
fewstep_status fewstep_run(fewstep_program* program, int64_t steps, int64_t first, const fewstep_tensor* inputs,
                           size_t n_inputs, const fewstep_tensor* outputs, size_t n_outputs, char* message,
                           size_t size);

#ifdef __cplusplus
}
#endif

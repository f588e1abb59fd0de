#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

#include "fewstep/error.h"
#include "fewstep/generation.h"
#include "open.h"

#pragma GCC visibility push(default)  // these functions alone leave libfewstep.so
#include "fewstep/fewstep.h"
#pragma GCC visibility pop

struct fewstep_program {
  std::unique_ptr<fewstep::Program> program;
  std::optional<fewstep::Generation> generation;  // none of a network
};

namespace {

fewstep_status status_of(fewstep::Fault fault) noexcept {
  switch (fault) {
    case fewstep::Fault::out_of_memory:
      return FEWSTEP_OUT_OF_MEMORY;
    case fewstep::Fault::numerical:
      return FEWSTEP_NUMERICAL;
    case fewstep::Fault::unavailable:
    case fewstep::Fault::capture:
      return FEWSTEP_UNAVAILABLE;
    case fewstep::Fault::fatal:
      break;
  }
  return FEWSTEP_FATAL;
}

template <typename Call>
fewstep_status guarded(char* message, std::size_t size, const Call& call) noexcept {
  const auto tell = [&](fewstep_status status, const char* what) {
    if (message != nullptr && size > 0) std::snprintf(message, size, "%s", what);
    return status;
  };
  try {
    call();
    return FEWSTEP_OK;
  } catch (const fewstep::PlanError& error) {
    return tell(FEWSTEP_BAD_PLAN, error.what());
  } catch (const fewstep::DeviceError& error) {
    return tell(status_of(error.fault()), error.what());
  } catch (const std::invalid_argument& error) {
    return tell(FEWSTEP_WRONG_CALL, error.what());
  } catch (const std::bad_alloc&) {
    return tell(FEWSTEP_OUT_OF_MEMORY, "no memory for the request");
  } catch (const std::exception& error) {
    return tell(FEWSTEP_FATAL, error.what());
  }
}

void need(bool given, const char* what) {
  if (!given) throw std::invalid_argument(std::string(what) + " must not be NULL");
}

fewstep::Generation& generation_of(fewstep_program* program) {
  need(program != nullptr, "program");
  if (!program->generation) throw std::invalid_argument("the plan is one network: it makes no pictures");
  return *program->generation;
}

template <typename Spans>
Spans spans_of(const fewstep_tensor* tensors, std::size_t n) {
  using Byte = typename Spans::mapped_type::element_type;
  need(tensors != nullptr || n == 0, "tensors");
  Spans spans;
  for (std::size_t i = 0; i < n; ++i) {
    need(tensors[i].name != nullptr && tensors[i].data != nullptr, "a tensor's name and data");
    spans.insert_or_assign(tensors[i].name,
                           typename Spans::mapped_type(static_cast<Byte*>(tensors[i].data), tensors[i].size));
  }
  return spans;
}

}  // namespace

const char* fewstep_version(void) { return FEWSTEP_VERSION; }

fewstep_status fewstep_open(const char* path, const fewstep_options* options, fewstep_program** program, char* message,
                            std::size_t size) {
  if (program != nullptr) *program = nullptr;
  return guarded(message, size, [&] {
    need(path != nullptr, "path");
    need(program != nullptr, "program");
    fewstep::DeviceOptions chosen;
    if (options != nullptr) {
      if (options->device != nullptr) chosen.name = options->device;
      chosen.cpu.threads = options->threads;
      chosen.cuda.index = options->index;
    }
    auto opened = std::make_unique<fewstep_program>();
    opened->program = fewstep::open_program(path, chosen);
    if (opened->program->plan().schedule) opened->generation.emplace(*opened->program);
    *program = opened.release();
  });
}

void fewstep_close(fewstep_program* program) { delete program; }

const char* fewstep_model(const fewstep_program* program) { return program->program->plan().model.c_str(); }

std::int64_t fewstep_height(const fewstep_program* program) {
  return program->generation ? program->generation->height() : 0;
}

std::int64_t fewstep_width(const fewstep_program* program) {
  return program->generation ? program->generation->width() : 0;
}

std::int64_t fewstep_label_columns(const fewstep_program* program) {
  return program->generation ? static_cast<std::int64_t>(program->generation->tables().size()) : 0;
}

fewstep_status fewstep_generate(fewstep_program* program, const std::uint64_t* seeds, std::int64_t n,
                                const std::int64_t* labels, std::int64_t steps, std::uint8_t* rgb, std::size_t rgb_size,
                                char* message, std::size_t size) {
  return guarded(message, size, [&] {
    fewstep::Generation& generation = generation_of(program);
    need(seeds != nullptr, "seeds");
    need(rgb != nullptr, "rgb");
    if (n < 1 || n > 65536) throw std::invalid_argument("n must be 1 to 65536, got " + std::to_string(n));
    const auto count = static_cast<std::size_t>(n);
    const std::size_t rows = labels == nullptr ? 0 : count * generation.tables().size();
    generation.generate({seeds, count}, {labels, rows}, steps == 0 ? generation.default_steps() : steps,
                        {rgb, rgb_size});
  });
}

fewstep_status fewstep_run(fewstep_program* program, std::int64_t steps, std::int64_t first,
                           const fewstep_tensor* inputs, std::size_t n_inputs, const fewstep_tensor* outputs,
                           std::size_t n_outputs, char* message, std::size_t size) {
  return guarded(message, size, [&] {
    need(program != nullptr, "program");
    program->program->run(steps, spans_of<fewstep::Inputs>(inputs, n_inputs),
                          spans_of<fewstep::Outputs>(outputs, n_outputs), first);
  });
}

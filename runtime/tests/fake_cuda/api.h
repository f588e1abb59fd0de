#pragma once

// How a function of the driver is exported.
#define FAKE_CUDA_EXPORT extern "C" __attribute__((visibility("default")))

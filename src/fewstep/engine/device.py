"""Which device "auto" is."""

import ctypes

DEVICES = ("cpu", "cuda")
MAX_THREADS = 256  # of a CPU


def choose_device() -> tuple[str, str]:
    """What "auto" means here and why: cuda if onnxruntime was built for it and a CUDA device answers, else cpu."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "cpu", "the installed onnxruntime was not built for CUDA (the extra fewstep[cuda] brings one that was)"
    count = cuda_devices()
    if count == 0:
        return "cpu", "onnxruntime was built for CUDA, but no CUDA device answers"
    return "cuda", f"onnxruntime was built for CUDA and {count} CUDA devices answer"


def cuda_devices() -> int:
    """How many devices the CUDA driver reports; 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value

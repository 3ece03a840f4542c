"""What NVML reports about one GPU, read with Python's standard library alone: energy, memory and clock, and their course
over an interval. Without the driver's library every value is None.
"""
import ctypes
import threading
import time

SM_CLOCK = 1  # NVML_CLOCK_SM


class Memory(ctypes.Structure):
    """nvmlMemory_t."""
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Gpu:
    """The GPU with this driver index, which is CUDA's index if CUDA_VISIBLE_DEVICES is not set."""

    def __init__(self, index=0):
        self._device = None
        try:
            self._library = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return
        device = ctypes.c_void_p()
        if self._library.nvmlInit_v2() == 0 and \
                self._library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) == 0:
            self._device = device

    def joules(self):
        """Energy used since the driver was loaded."""
        value = ctypes.c_ulonglong()
        if self._device is None or \
                self._library.nvmlDeviceGetTotalEnergyConsumption(self._device, ctypes.byref(value)) != 0:
            return None
        return value.value / 1000

    def used_bytes(self):
        """Memory in use by all processes and the driver."""
        value = Memory()
        if self._device is None or self._library.nvmlDeviceGetMemoryInfo(self._device, ctypes.byref(value)) != 0:
            return None
        return value.used

    def sm_megahertz(self):
        """The current clock of its multiprocessors."""
        value = ctypes.c_uint()
        if self._device is None or self._library.nvmlDeviceGetClockInfo(self._device, SM_CLOCK, ctypes.byref(value)) != 0:
            return None
        return value.value


def freed_by(gpu, end):
    """Calls `end`, which ends a process, and returns the bytes that this frees. The driver takes a moment to release them."""
    before = gpu.used_bytes()
    end()
    if before is None:
        return None
    least, unchanged = before, 0
    while unchanged < 10:
        time.sleep(0.02)
        used = gpu.used_bytes()
        unchanged = unchanged + 1 if used >= least else 0
        least = min(least, used)
    return before - least


class MemoryWatch:
    """The maximum memory in use while the block runs, beyond what was in use at its beginning; sampled every 5 ms."""

    def __init__(self, gpu):
        self._gpu = gpu
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.bytes = None

    def __enter__(self):
        self._first = self._gpu.used_bytes()
        self._most = self._first
        if self._first is not None:
            self._thread.start()
        return self

    def _sample(self):
        while not self._over.is_set():
            self._most = max(self._most, self._gpu.used_bytes() or 0)
            time.sleep(0.005)

    def __exit__(self, *_):
        self._over.set()
        if self._first is not None:
            self._thread.join()
            self.bytes = self._most - self._first


class ClockWatch:
    """The SM clock before, while and after the block runs, in MHz, sampled every 5 ms: {"before", "least", "most", "after"},
    or None if it cannot be read."""

    def __init__(self, gpu):
        self._gpu = gpu
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._seen = []
        self.megahertz = None

    def __enter__(self):
        self._before = self._gpu.sm_megahertz()
        if self._before is not None:
            self._thread.start()
        return self

    def _sample(self):
        while not self._over.is_set():
            self._seen.append(self._gpu.sm_megahertz() or self._before)
            time.sleep(0.005)

    def __exit__(self, *_):
        self._over.set()
        if self._before is not None:
            self._thread.join()
            self.megahertz = {"before": self._before, "least": min([self._before, *self._seen]),
                              "most": max([self._before, *self._seen]), "after": self._gpu.sm_megahertz()}

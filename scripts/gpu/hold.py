#!/usr/bin/env python3
"""Holds a context on the first device until standard input ends, so that no process of the check has to wake the GPU
if no driver daemon keeps it awake. It changes no setting, and it ends with the process at the other end of its input.
Prints one line: "holding", or why it cannot. Called by check.py; needs only the driver's library.
"""
import ctypes
import sys

from processes import die_with_parent


def hold():
    """Returns None, or why no context is held."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return str(error)
    device, context = ctypes.c_int(), ctypes.c_void_p()
    for name, arguments in (("cuInit", (0,)), ("cuDeviceGet", (ctypes.byref(device), 0)),
                            ("cuDevicePrimaryCtxRetain", (ctypes.byref(context), device))):
        code = getattr(driver, name)(*arguments)
        if code != 0:
            return f"{name}: error {code}"
    return None


def main():
    die_with_parent()
    reason = hold()
    print(reason or "holding", flush=True)
    if not reason:
        sys.stdin.read()


if __name__ == "__main__":
    main()

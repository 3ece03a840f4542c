"""Which test programs belong to a source: those of the folder of tests that has the room's name, or for the engines these. Behind a
program's name may stand a filter of GoogleTest."""
import os
import re

CPU, CUDA = " -*cuda*", " *cuda*:-*portable*"

# By the longest prefix of the path. Each room's first programs are those that find most.
PROGRAMS = {
    "kernels/math": ["math_test", "step_test" + CPU, "models_test", "conformance_test" + CPU, "portable_test", "conformance_test" + CUDA],
    "kernels/portable": ["portable_test", "digest_test"],
    "kernels/ranks": ["exchange_test", "ranks_training_test"],
    "kernels/cpu": ["loops_test", "conformance_test" + CPU, "step_test" + CPU, "backend_test", "models_test", "ranks_training_test"],
    "kernels/cpu/portable": ["portable_test", "digest_test"],
    "kernels/cpu/ranks": ["exchange_test", "ranks_training_test"],
    "kernels/cuda": ["conformance_test" + CUDA, "emulated_room_test", "step_test" + CUDA, "product_plan_test", "backend_test", "gpu_bits_test",
                     "emulated_engine_test"],
    "kernels/cuda/portable": ["portable_test", "emulated_engine_test"],
    "kernels/cuda/ranks": ["gpu_exchange_test", "gpu_ranks_test"],
    "kernels/cuda/cudnn": ["conformance_test" + CUDA, "backend_test", "gpu_training_test", "emulated_engine_test"],
    "kernels/gpu_host": ["gpu_host_test"],
    "kernels": ["reference_test", "conformance_test", "backend_test", "models_test"],
    "trainer/train": ["train_test", "emulated_engine_test", "gpu_training_test", "ranks_training_test", "simulated_training_test", "digest_test"],
}


def programs_of(path, root):
    """The test programs of a source, those first that are quickest to find something."""
    for prefix in sorted(PROGRAMS, key=len, reverse=True):
        if path.startswith(prefix + "/"):
            return PROGRAMS[prefix]
    room = os.path.dirname(path).removeprefix("trainer/") or path
    lists = os.path.join(root, "tests", room, "CMakeLists.txt")
    if not os.path.exists(lists):
        return []
    with open(lists, encoding="utf-8") as file:
        calls = re.findall(r"trainer_add_test\(NAME (\w+)([^)]*)\)", re.sub(r"#.*", "", file.read()))
    return [name for name, rest in calls if not re.search(r"LABEL (?:slow|long)", rest)]


def room_of(path):
    """The room under which a source is counted: kernels/cuda with the folders below it."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("kernels", "trainer") and len(parts) > 2 else parts[0]

#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, tests/fuzz/seeds/NAME/*: small inputs that show each reader's forms, most of which it takes.
Equal bytes every time. Inputs that fuzzing has found to reach new code are beside them, named by their hash, and stay."""
import gzip
import hashlib
import json
import pathlib
import re
import struct
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = ROOT / "tests/fuzz/seeds"
OLD = ROOT / "tests/golden/version_0.1.0"


def write(target, name, contents):
    (SEEDS / target).mkdir(parents=True, exist_ok=True)
    (SEEDS / target / name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())


def idx(kind, dimensions, sizes, values):
    return struct.pack(">HBB", 0, kind, dimensions) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(values)


def packed(contents, flags=0, fields=b""):
    """A gzip member: no time of day, fields of the header as given."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\x02\x03" + fields
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xffff)
    return head + deflate.compress(contents) + deflate.flush() + struct.pack("<II", zlib.crc32(contents), len(contents) & 0xffffffff)


def idx_seeds():
    images = idx(8, 3, [2, 3, 3], range(18))
    forms = {"images": images, "colours": idx(8, 4, [1, 2, 2, 3], range(12)), "labels": idx(8, 1, [4], [0, 1, 2, 9]),
             "qmnist-labels": idx(0x0c, 2, [2, 8], bytes([0, 0, 0, 5] + [0] * 28) * 2), "words": idx(0x0c, 1, [2], bytes(8)),
             "short": images[:-1], "floats": idx(0x0d, 3, [1, 1, 1], bytes(4))}
    for name, contents in forms.items():
        write("idx", name, contents)
    for name in ("images", "colours", "labels", "qmnist-labels"):
        write("gzip", name, packed(forms[name]))
    write("gzip", "twice", packed(packed(forms["images"])))
    write("gzip", "members", packed(images[:10]) + packed(images[10:]))
    write("gzip", "fields", packed(images, 0x1e, struct.pack("<H", 4) + b"extra"[:4] + b"name\0comment\0"))
    stored = b"\x01" + struct.pack("<HH", len(images), len(images) ^ 0xffff) + images
    write("gzip", "stored", b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + stored + struct.pack("<II", zlib.crc32(images), len(images)))
    write("gzip", "cut", packed(images)[:-9])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(colour, bits, width, height, rows, *, before=b"", interlace=0):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def exif(order, orientation):
    mark, form = (b"MM", ">") if order == "big" else (b"II", "<")
    return mark + struct.pack(form + "HIHHHIHH", 42, 8, 1, 0x0112, 3, 1, orientation, 0)


def bmp(bits, width, height, *, header=40, compression=0, palette=b"", masks=b"", rows=None):
    stride = (width * bits + 31) // 32 * 4
    rows = bytes(range(256))[:stride] * abs(height) if rows is None else rows
    begin = 14 + header + len(masks) + len(palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(rows), 0, 0, 0, 0).ljust(header, b"\0")
    return b"BM" + struct.pack("<IHHI", begin + len(rows), 0, 0, begin) + info + masks + palette + rows


def jpeg():
    text = (ROOT / "tests/data/jpeg_bytes.hpp").read_text()
    return bytes(int(word, 16) for word in re.findall(r"0x([0-9a-f]{2})", text))


def picture_seeds():
    grey = b"".join(b"\0" + bytes(range(y, y + 8)) for y in range(8))
    write("picture", "grey.png", png(0, 8, 8, 8, grey))
    write("picture", "rgb.png", png(2, 8, 2, 2, b"\0abcdef\1ghijkl"))
    write("picture", "alpha.png", png(6, 8, 2, 2, b"\2abcdefgh\3ijklmnop"))
    write("picture", "grey-alpha.png", png(4, 8, 2, 2, b"\4abcd\0efgh"))
    write("picture", "deep.png", png(2, 16, 1, 1, b"\0abcdef"))
    write("picture", "bit.png", png(0, 1, 8, 2, b"\0\x5a\0\xa5"))
    write("picture", "palette.png", png(3, 2, 4, 2, b"\0\x1b\0\xe4", before=chunk(b"PLTE", bytes(range(9))) + chunk(b"tRNS", b"\1\2")))
    write("picture", "interlaced.png", png(0, 8, 2, 2, b"\0a\0b\0cd", interlace=1))
    write("picture", "turned.png", png(0, 8, 2, 1, b"\0ab", before=chunk(b"eXIf", exif("big", 6))))
    write("picture", "cgbi.png", b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", b"\0\0\0\0") + png(0, 8, 1, 1, b"\0a")[8:])
    plain = jpeg()
    segment = b"Exif\0\0" + exif("little", 8)
    write("picture", "grey.jpg", plain)
    write("picture", "turned.jpg", plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:])
    write("picture", "restarts.jpg", plain.replace(b"\xff\xda", b"\xff\xdd\0\4\0\1\xff\xda"))
    write("picture", "progressive.jpg", plain.replace(b"\xff\xc0", b"\xff\xc2"))
    three = plain.replace(bytes.fromhex("ffc0000b080008000801011100"), bytes.fromhex("ffc00011080008000803012200021101031101").replace(b"\2\x11\1\3\x11\1", b"\2\x11\0\3\x11\0"))
    write("picture", "colours.jpg", three.replace(bytes.fromhex("ffda0008010100003f00"), bytes.fromhex("ffda000c03010002000300003f00")))
    write("picture", "24.bmp", bmp(24, 3, 2))
    write("picture", "down.bmp", bmp(24, 3, -2))
    write("picture", "32.bmp", bmp(32, 2, 2))
    write("picture", "16.bmp", bmp(16, 2, 2))
    write("picture", "masks.bmp", bmp(16, 2, 2, compression=3, masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f)))
    write("picture", "v4.bmp", bmp(32, 2, 2, header=108))
    write("picture", "palette.bmp", bmp(8, 4, 2, palette=bytes(range(64))))
    write("picture", "bits.bmp", bmp(1, 9, 2, palette=b"\0\0\0\0\xff\xff\xff\0"))
    write("picture", "old.bmp", bmp(24, 2, 2, header=12))
    write("picture", "gif", b"GIF89a" + bytes(20))


HEAD = "name: n\nlayers:\n"
RECIPE = "recipe: {optimizer: sgd, rate: 0.1, batch: 8, epochs: 1}\n"


def network_seeds():
    for file in sorted((ROOT / "models").glob("*.yaml")):
        write("network", file.name, file.read_text())
    write("network", "flow.yaml", "{name: n, layers: [{conv: {out: 4, kernel: 3, pad: 1}}, relu, {avgpool: {size: 2}}, "
          "{dense: {out: classes}}], " + RECIPE.strip() + "}")
    write("network", "small.yaml", HEAD + "- dense: {out: classes}\n" + RECIPE)
    write("network", "wide.yaml", HEAD + "- conv: {out: 2147483647, kernel: 27}\n- dense: {out: classes}\n" + RECIPE)
    write("network", "alias.yaml", HEAD + "- &a dense: {out: classes}\n- *a\n" + RECIPE)
    every = (ROOT / "tests/interchange/every_op.yaml")
    write("network", "every.yaml", every.read_text())


def config_seeds():
    write("config", "usual.yaml", "epochs: 3\nseed: 7\nlr: 0.01\nquiet: true\nmodel: lenet\n")
    write("config", "flow.yaml", "{max-steps: 10, max-seconds: 1.5, checkpoint-every: 500steps, sync-batchnorm: false}\n")
    write("config", "quoted.yaml", "data: \"a b\"\nchannels: '3'\nlimit-train: 1000\n")
    write("config", "empty.yaml", "# nothing\n")
    write("config", "typo.yaml", "epoch: 3\n")
    write("config", "alias.yaml", "epochs: &n 3\nseed: *n\n")
    write("config", "range.yaml", "epochs: 0\n")


def target_seeds():
    write("compute", "old", (OLD / "targets/gpu-vm.compute").read_text())
    write("compute", "local", "type: local\n")
    write("compute", "docker", "type: localdocker\nbaseDockerImage: registry.example.com/a/b:1.0\nnvidiaDocker: true\n")
    write("compute", "remote", "type: remotedocker\naddress: fe80::1%eth0\nport: 22\nusername: me\nidentityFile: \"~/keys/my key\"\n"
          "sshConfig: 'null'\nbaseDockerImage: t:1\ngpus: \"0,1:0,GPU-4f1e\"\n")
    write("compute", "hostile", "type: remotedocker\naddress: -oProxyCommand=x\nbaseDockerImage: t\n")
    write("runconfig", "old", (OLD / "targets/gpu-vm.runconfig").read_text().replace("gpu-vm", "vm"))
    write("runconfig", "flow", "{Target: vm, ArgumentVector: [train, --model, 'a b', \"two\\nlines\"], EnvironmentVariables: {A_1: ''}}\n")
    write("runconfig", "short", "Target: vm\nPrepareEnvironment: false\nTrackedRun: no\n")
    write("runconfig", "plain", "Target: vm\nTrackedRun: false\n")
    write("runconfig", "hostile", "Target: -x\n")


SPEC = "name: s\nlayers: [dense: {out: classes}]\nrecipe: {optimizer: sgd, rate: 0.1, batch: 2, epochs: 1}\n"


def checkpoint_metadata(**more):
    metadata = {"format": "mnist-trainer", "version": "1", "model": "s", "spec": SPEC,
                "settings": '{"seed":1,"epochs":4,"validation":40,"precision":"fp32","channels":1,"skip_bad_images":false}',
                "image": "[2,2,1]", "classes": "2", "label_names": '["a","b"]', "scaling": '{"scale":"0x1.010102p-8","shift":"-0x0p+0"}',
                "data": "crc32:1-2-3-4", "fit": "digit"}
    return metadata | more


POSITION = {"position": '{"step":32,"passes":3,"pass_seconds":7.5e-05,"loss_sum":"0x1.5febf30dcp+4","hits":30,"images":32}',
            "threads": "1", "engine": "cpu with oneDNN 2.6.3"}


def safetensors(tensors, metadata=None, pad=True):
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata | {"content_sha256": "0" * 64}
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8 if pad else 0)
    file = struct.pack("<Q", len(text)) + text + data
    return file if metadata is None else file.replace(b"0" * 64, hashlib.sha256(file).hexdigest().encode(), 1)


def weights_seeds():
    dense = {"dense1.weight": ("F32", [2, 4], struct.pack("<8f", *range(8))), "dense1.bias": ("F32", [2], struct.pack("<2f", 1, 2))}
    write("safetensors", "model", safetensors(dense, checkpoint_metadata()))
    write("safetensors", "checkpoint", safetensors(dense, checkpoint_metadata(**POSITION)))
    write("safetensors", "torch", safetensors({"0.weight": ("F32", [1, 1], bytes(4)), "1.num_batches_tracked": ("I64", [], bytes(8))}))
    write("safetensors", "scalar", safetensors({"a": ("F32", [], bytes(4)), "b": ("F32", [0], b"")}, {}))
    write("safetensors", "half", safetensors({"a": ("F16", [2], bytes(4))}))
    forms = {"model": checkpoint_metadata(), "checkpoint": checkpoint_metadata(**POSITION), "old": checkpoint_metadata(**POSITION),
             "colours": checkpoint_metadata(image="[32,32,3]", label_names="[]", fit="picture", spec=SPEC),
             "foreign": {"format": "pt"}}
    del forms["old"]["fit"]
    settings = ('{"seed":1,"epochs":4,"batch":8,"rate":0.1,"optimizer":"adam","limit_train":100,"validation":40,"precision":"bf16",'
                '"engine":"own","bits":"portable","classes":2,"channels":3,"skip_bad_images":true,"transpose":true,"new_head":true,'
                '"gradient_bits":1,"warm_start_images":10,"sync_batchnorm":true}')
    forms["settings"] = checkpoint_metadata(settings=settings)
    for name, metadata in forms.items():
        write("checkpoint", name, "".join(f"{key}={value}\x1e" for key, value in metadata.items()))


def record_seeds():
    def small(record):
        """As short as a record may be: long texts are cut."""
        record = json.loads(record)
        record["spec_text"] = record["spec_text"][:40]
        return record
    finished = small((OLD / "runs/finished/run.json").read_text())
    write("run", "finished.json", json.dumps(finished))
    write("run", "sprint.json", json.dumps(small((OLD / "runs/sprint/run.json").read_text())))
    stopped = small((OLD / "runs/stopped/run.json").read_text())
    stopped["resumed"] = [{"command": ["trainer", "train", "--resume", "last"], "started": "2026-01-01T09:30:00Z", "step": 3}]
    write("run", "stopped.json", json.dumps(stopped))
    running = finished | {"status": "running", "results": {}, "target": {"name": "vm", "id": "x"}, "device": {},
                          "process": {"pid": 1, "host": "h", "boot_id": "b", "folder": "/x", "inode": 1}}
    for key in ("machine", "versions", "recipe"):
        running[key] = {}
    write("run", "submitted.json", json.dumps(running))
    write("run", "newer.json", json.dumps(running | {"format_version": 2}))
    for run in ("finished", "sprint", "stopped"):
        lines = (OLD / f"runs/{run}/metrics.jsonl").read_text().splitlines(keepends=True)
        write("metrics", run, "".join(lines[:2]))
    line = json.loads(lines[0])
    write("metrics", "not-finite", json.dumps(line | {"train_loss": None, "test_loss": None}) + "\n")
    write("metrics", "ranks", json.dumps(line | {"exchange_seconds": 0.5, "validation_accuracy": 0.5, "validation_loss": 1.5}) + "\n")
    write("metrics", "unfinished", json.dumps(line) + "\n{\"epoch\":")
    bench_seeds()
    registry_seeds()


def registry_seeds():
    version = {"run": "20260101-093000-quick-1", "promoted": "2026-01-01T09:30:00+01:00", "model": "quick", "sha256": "0" * 64,
               "accuracy": 0.99}
    for name, stages, file in (("staged", {"1": "retired", "2": "production"}, version), ("plain", {}, version | {"accuracy": None}),
                               ("retired", {"2": "retired"}, version), ("stage", {"2": "best"}, version),
                               ("short", {}, {"run": "x"})):
        write("registry", name, json.dumps(stages) + "\x1e" + json.dumps(file))


def bench_seeds():
    subject = {"model": "sprint", "batch": 256, "steps": 20}
    result = subject | {"precision": "fp32", "parameters": 1000, "training_flops_per_image": 5000000, "memory_bytes": 1048576,
                        "peak_flops_per_second": 1e11, "peak_source": "measured",
                        "repeats": [{"steps": 20, "images": 5120, "seconds": s} for s in (0.5, 0.25)]}
    record = {"kind": "bench", "bench_version": 1, "date": "2026-01-01T09:30:00+01:00", "device_name": "CPU: of a test",
              "command": ["trainer", "bench"],
              "settings": {"quick": False, "warmup_steps": 2, "warmup_seconds": 1, "least_seconds": 1, "repeats": 2, "epoch_images": 60000,
                           "seed": 1, "data": "crc32:1-2-3-4", "engine": "auto", "bits": "fast", "subjects": [subject]},
              "results": [result], "was_busy": False, "before": {"load": 0.1}, "after": {"load": 1}, "peak_process_bytes": 268435456,
              "seconds": 50, "machine": {"cpu": "of a test"}, "device": {}, "versions": {}, "commit": ""}
    write("bench", "one.json", json.dumps(record))
    two = result | {"precision": "bf16", "peak_flops_per_second": 0, "peak_source": ""}
    write("bench", "precisions.json", json.dumps(record | {"results": [result, two], "was_busy": True}))
    write("bench", "spaced.json", json.dumps(record | {"commit": "abc", "device_name": "GPU"}, indent=1))
    write("bench", "other.json", json.dumps(record | {"settings": record["settings"] | {"repeats": 3}}))
    write("bench", "version.json", json.dumps({"kind": "bench", "bench_version": 2, "date": "", "device_name": ""}))
    write("bench", "ranks.json", json.dumps({"kind": "ranks"}))


def where_seeds():
    for name, text in {"number": "accuracy > 0.99", "joined": "accuracy >= .5 && epochs<=+1e3 && seed==1", "text": 'device =~ "H200"',
                       "pattern": "id !~ '[0-9]*-q?ick'", "time": "started >= 2026-01-31T09:30", "escape": "host == 'it\\'s'",
                       "or": "seed == 1 || seed == 2", "regex": "id =~ '^a.*'", "sort": "-accuracy", "unknown": "acc > 1",
                       "status": "status!=failed&&model=='small'", "loss": "loss < 2.5"}.items():
        write("where", name, text)


def explain_seeds():
    for name, text in {
            "code": "CUDA error 803: system has unsupported display driver / cuda driver combination",
            "call": "cudaMalloc(p, 8) returned 2", "xid": "NVRM: Xid (PCI:0000:c1:00): 79, pid=1, GPU has fallen off the bus.",
            "colours": "\x1b[31mlibcuda.so.1: cannot open\x1b[0m \x1b]0;title\x07shared object file",
            "key": "me@vm.example.com: Permission denied (publickey).", "refused": "ssh: connect to host vm port 22: Connection refused",
            "docker": "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "nccl": "ncclSystemError: System call (socket, malloc, munmap, etc) failed.", "newlines": "out\\nof memory\n\n\nno space left on device",
            "host key": "@@@@@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.",
            "nothing": "all is well"}.items():
        write("explain", name, text)


def rank_seeds():
    fact = b"0.2.0 (abc)".ljust(160, b"\0")
    for kind in range(5):
        for size in range(2):
            write("ranks", f"kind-{kind}-{2 + size}", bytes([kind * 4 + size]) + bytes(range(64)) * 2)
    write("ranks", "numbers", bytes([32 + 1]) + struct.pack("<8f", 0, -1, 1e30, float("inf"), float("-inf"), float("nan"), 1e-40, 5))
    write("ranks", "facts", bytes([32 + 16]) + fact)
    write("ranks", "alike", bytes([7 * 32 + 16]) + fact)
    write("ranks", "host", bytes([12]) + b"host".ljust(65, b"\0"))


for make in (idx_seeds, picture_seeds, network_seeds, config_seeds, target_seeds, weights_seeds, record_seeds, where_seeds, explain_seeds, rank_seeds):
    make()

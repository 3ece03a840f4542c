"""Two machines played by two network namespaces that a veth pair joins, and how long plain sockets take between them. Needs root.

Each is a host of its own to Open MPI: mpirun runs in the first one, and starts its daemon in the second by an agent in ssh's place.
"""
import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

NAMES = ("mt-ranks-0", "mt-ranks-1")
ADDRESSES = ("10.77.13.1", "10.77.13.2")
INTERFACE = "veth0"
BURST = {"1gbit": "256kb", "100mbit": "3kb"}  # the least with which a busy machine keeps up with the rate


def run(*words):
    subprocess.run(words, check=True)


def on(machine, *words):
    """The words that run a program on one of the machines, under that machine's name."""
    return ["ip", "netns", "exec", NAMES[machine], "unshare", "--uts", "sh", "-c", f'hostname {NAMES[machine]}; exec "$@"', "sh", *words]


@contextlib.contextmanager
def two_machines(rate=None):
    """Both machines, their link limited to `rate` ("100mbit") in each direction; yields mpirun's words that start a rank on each."""
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in NAMES:
                run("ip", "netns", "add", name)
            run("ip", "link", "add", INTERFACE, "netns", NAMES[0], "type", "veth", "peer", "name", INTERFACE, "netns", NAMES[1])
            for name, address in zip(NAMES, ADDRESSES):
                run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", INTERFACE)
                run("ip", "-n", name, "link", "set", INTERFACE, "up")
                run("ip", "-n", name, "link", "set", "lo", "up")
                if rate:
                    run("tc", "-n", name, "qdisc", "add", "dev", INTERFACE, "root", "tbf", "rate", rate, "burst", BURST[rate], "latency", "400ms")
            agent = os.path.join(folder, "agent")
            with open(agent, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nshift\nexec {' '.join(on(1)[:-4])} sh -c \"hostname {NAMES[1]}; $*\"\n")
            os.chmod(agent, 0o700)
            yield on(0, "mpirun.openmpi", "--allow-run-as-root", "--host", ",".join(ADDRESSES), "--mca", "plm_rsh_agent", agent,
                     "--mca", "btl_tcp_if_include", INTERFACE, "--mca", "oob_tcp_if_include", INTERFACE)
        finally:
            for name in NAMES:
                subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)


def socket_seconds(sizes, repeats):
    """Seconds in which both machines send each other the bytes of each size at once: all of an exchange between two ranks."""
    words = [sys.executable, os.path.abspath(__file__), str(repeats), *map(str, sizes)]
    with subprocess.Popen(on(1, *words, "accept"), stdout=subprocess.DEVNULL) as other:
        done = subprocess.run(on(0, *words, "connect"), stdout=subprocess.PIPE, text=True, check=True)
        other.wait()
    return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]


def connect():
    for _ in range(100):
        with contextlib.suppress(OSError):
            return socket.create_connection((ADDRESSES[1], 5151))
        time.sleep(0.05)
    sys.exit(f"no machine answers at {ADDRESSES[1]}")


def peer(repeats, sizes, role):
    if role == "accept":
        with socket.create_server((ADDRESSES[1], 5151)) as server:
            link = server.accept()[0]
    else:
        link = connect()
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    link.setblocking(False)
    message = memoryview(bytes(max(sizes)))
    into = memoryview(bytearray(max(sizes)))

    def swap(size):  # the two directions at once
        sent = got = 0
        while sent < size or got < size:
            readable, writable, _ = select.select([link] * (got < size), [link] * (sent < size), [])
            if readable:
                got += link.recv_into(into[got:size])
            if writable:
                sent += link.send(message[sent:size])

    for size in sizes:
        seconds = []
        for _ in range(repeats + 1):
            swap(1)
            begin = time.perf_counter()
            swap(size // 2)  # each stripe to its owner,
            swap(size // 2)  # and the sums to all
            seconds.append(time.perf_counter() - begin)
        print(*seconds[1:])


if __name__ == "__main__":
    peer(int(sys.argv[1]), [int(word) for word in sys.argv[2:-1]], sys.argv[-1])

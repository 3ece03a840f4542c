"""No process outlives the check. Three mechanisms ensure this, each even if the others are gone:

the supervisor  is the process that was called. It starts the check as its only child in its own session, passes signals
                on, ends it when its time is over or its caller is gone, and adopts the processes that a killed check leaves.
the check       gets a signal when the supervisor dies (PR_SET_PDEATHSIG), and adopts the processes that its commands leave.
its commands    die with the check (PR_SET_PDEATHSIG); the check or the supervisor adopts the processes that they started.

The end of the caller ends the check too, unless it was started by nohup. A kill -9 of supervisor and check at the
same instant leaves at most the processes that a command had started itself.
"""
import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of <linux/prctl.h>
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_SECONDS = 3  # for the check to write its results, once it has been asked to end
_prctl = ctypes.CDLL(None).prctl


def die_with_parent(number=signal.SIGKILL):
    """Sends the calling process a signal when the thread that started it ends."""
    _prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans():
    """From here on, this process, not init, adopts descendants whose parent ends."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stat(process):
    """(parent, state), or None if there is no such process."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rsplit(")", 1)[1].split()[:2]
        return int(parent), state
    except OSError:
        return None


def children_of(process):
    """The children as the kernel lists them; if it does not, all processes are searched."""
    try:
        threads = os.listdir(f"/proc/{process}/task")
        found = []
        for thread in threads:
            with open(f"/proc/{process}/task/{thread}/children", encoding="utf-8") as file:
                found += [int(word) for word in file.read().split()]
        return found
    except OSError:
        if os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children"):
            return []  # it has just ended
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [number for number in numbers if (stat(number) or (0,))[0] == process]


def descendants(spared):
    """(live descendants, children of this process that wait to be reaped), without `spared` and their descendants."""
    found, front = [], [os.getpid()]
    while front:
        front = [child for process in front for child in children_of(process) if child not in spared]
        found += front
    states = {process: stat(process) for process in found}
    living = [process for process in found if states[process] and states[process][1] not in "ZX"]
    return living, [process for process in found if states[process] and process not in living
                    and states[process][0] == os.getpid()]


def end_descendants(spared=()):
    """Kills all processes that this one and its children have started, until none is left; takes at most five seconds."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        living, ended = descendants(spared)
        for process in living:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in ended:
            try:
                os.waitpid(process, os.WNOHANG)
            except ChildProcessError:
                pass
        if not living:
            return
        time.sleep(0.005)


def heeded():
    """The signals that end the check, except those that its caller made it ignore, as nohup does."""
    return {number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN}


def become_check(supervisor):
    os.setsid()
    die_with_parent(signal.SIGTERM)
    if os.getppid() != supervisor:  # it died before this process asked to be told
        os._exit(128 + signal.SIGTERM)
    adopt_orphans()


def watch(check, seconds):
    """(the check's wait status, whether its time was over), once it has ended by itself or because of a signal, the clock or
    the caller's end."""
    caller = os.getppid()
    signals, waits_for_caller = heeded(), signal.SIGHUP in heeded()
    end, killed_at = time.monotonic() + (seconds or float("inf")), float("inf")
    while True:
        found, status = os.waitpid(check, os.WNOHANG)
        if found:
            return status, time.monotonic() >= end
        now = time.monotonic()
        asked = signal.sigtimedwait({signal.SIGCHLD, *signals}, 0.2)
        number = asked.si_signo if asked and asked.si_signo in signals else None
        if killed_at == float("inf") and (now >= end or (waits_for_caller and os.getppid() != caller)):
            number = signal.SIGTERM
        if number:
            os.kill(check, number)
            killed_at = min(killed_at, now + GRACE_SECONDS)
        if now >= killed_at:
            os.kill(check, signal.SIGKILL)


def supervise(seconds):
    """Returns in a new process, which is the check; the calling one stays its supervisor and exits with its code. After
    `seconds` (0: never) the check is asked to end, and killed GRACE_SECONDS later."""
    supervisor = os.getpid()
    adopt_orphans()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *heeded()})
    check = os.fork()
    if check == 0:
        become_check(supervisor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    status, was_late = watch(check, seconds)
    end_descendants()
    code = os.waitstatus_to_exitcode(status)
    if was_late:
        print(f"error: the check had not ended after {seconds:.0f} s and was cut; what was done by then is written", flush=True)
        code = 1
    os._exit(code if code >= 0 else 128 - code)


def end_on_signals():
    """A signal ends the check like an exception, so that every `finally` runs."""
    def stop(number, _frame):
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)
    for number in heeded():
        signal.signal(number, stop)

"""Locks and unlocks a file as often as a line says, and answers when it is done; by fasteners, or as it does."""
import fcntl
import sys

path, how = sys.argv[1:]


def with_fcntl(times):
    for _ in range(times):
        with open(path, "a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_UN)


def with_fasteners(times):
    lock = fasteners.InterProcessLock(path)
    for _ in range(times):
        lock.acquire()
        lock.release()


if how == "fasteners":
    import fasteners
print("ready", flush=True)
for line in sys.stdin:
    (with_fasteners if how == "fasteners" else with_fcntl)(int(line))
    print("done", flush=True)

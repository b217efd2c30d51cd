"""Counts as the other processes of the storm do, with fcntl.lockf, until its input ends."""
import fcntl
import os
import random
import sys
import threading
import time

directory = sys.argv[1]
lock, counter, journal = (os.path.join(directory, *name) for name in (("locks", "counter"), ("counter",), ("journal",)))
stopped = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
print("ready", flush=True)


def same(file):
    """Is it still the file at the path? Who waits for a file that is removed locks it for himself alone."""
    try:
        there = os.stat(lock)
    except FileNotFoundError:
        return False
    here = os.fstat(file.fileno())
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)


while not stopped.is_set():
    with open(lock, "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        if not same(file):
            continue
        with open(counter) as source:
            value = int(source.read())
        time.sleep(random.random() * 0.002)
        temporary = f"{counter}.{os.getpid()}"
        with open(temporary, "w") as target:
            target.write(str(value + 1))
        os.rename(temporary, counter)
        with open(journal, "a") as target:
            target.write(f"{value + 1} {os.getpid()}\n")
    time.sleep(random.random() * 0.002)

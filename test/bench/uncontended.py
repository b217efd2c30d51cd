"""Locks and unlocks a file as often as a line says, and answers when it is done."""
import fcntl
import sys

path = sys.argv[1]
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        with open(path, "a") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_UN)
    print("done", flush=True)

"""The same with fcntl.lockf, which waits in the kernel. Speaks JSON, a line each way."""
import fcntl
import json
import os
import sys
import time

lock_path, hold_for, run_for = sys.argv[1], float(sys.argv[2]) / 1000, float(sys.argv[3]) / 1000


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1000


print("ready", flush=True)
sys.stdin.readline()
passes = []
started = now()
while now() - started < run_for * 1000:
    asked = now()
    with open(os.path.join(lock_path, "contended"), "a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        granted = now()
        time.sleep(hold_for)
        passes.append([asked, granted, now()])
cpu = time.process_time() * 1000 / (now() - started)
print(json.dumps({"passes": passes, "cpu": cpu}), flush=True)

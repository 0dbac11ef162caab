"""Run a command; print its wall seconds, the peak memory of its largest process, and its exit code, as JSON.

A program of its own, since on Linux a new process starts with the peak of the one that made it: this one is small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - begin
# Of the command and of the processes that it waited for, the largest; in bytes on macOS, elsewhere in KiB.
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "peak": peak, "code": os.waitstatus_to_exitcode(status)}))

"""The process in which one contender runs once: it imports, says so, waits for a word, and is timed.

Takes a contender's name, a job and whether to check the pixels afterwards. Speaks one JSON object a line.
"""

import json
import os
import sys
import time

from benchmarks.contenders import CONTENDERS
from benchmarks.job import Job


def main(name: str, job_line: str, check: str) -> None:
    """Do it."""
    # What libraries print must not get between the lines.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields: float | bool) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    job = Job.from_json(job_line)
    contender = CONTENDERS[name]
    run = contender.start(job)
    answer(ready=True)
    sys.stdin.readline()
    cpu = time.process_time()
    begin = time.perf_counter()
    run()
    answer(seconds=time.perf_counter() - begin, cpu_seconds=time.process_time() - cpu)
    if check == "check" and contender.check is not None:
        contender.check(job)
    answer(done=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

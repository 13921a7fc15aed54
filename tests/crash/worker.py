"""A worker that writes down every run it sees, so that overlap, repeats and losses show.

Stand-alone: it is started with ``python -I -S`` for every turn, so it imports little.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from pathlib import Path
from zlib import crc32


def main() -> int:
    """Do one step of the work, or claim that it is done."""
    place = Path(sys.argv[1])
    run_id = os.environ["GOALFSM_RUN_ID"]
    lock = os.open(place / "running.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        write(place, run_id=run_id, what="overlap")
        fcntl.flock(lock, fcntl.LOCK_EX)
    write(place, run_id=run_id, what="begin", pid=os.getpid(), turn=os.environ["GOALFSM_TURN"])
    if (place / "slow").exists():
        time.sleep(60)
    chance = crc32(run_id.encode())
    for number in range(1, 3):
        time.sleep((chance >> (8 * number) & 0xFF) / 255 * 0.03)
        tokens = 1 + (chance >> number & 0x3F)
        write(place, run_id=run_id, what="usage", number=number, tokens=tokens)
        say(type="usage", input_tokens=tokens, output_tokens=number)
    say(type="text", text=f"step of run {run_id}")
    # Its answers differ by an id alone, which would count as getting nowhere.
    say(type="progress")
    if (place / "finish").exists():
        say(
            type="tool_call",
            id=1,
            name="update_goal",
            arguments={"status": "complete", "evidence": ["the log of runs"]},
        )
        answer = json.loads(sys.stdin.readline())
        write(place, run_id=run_id, what="claim", ok=answer["ok"], code=answer.get("code"))
    write(place, run_id=run_id, what="end")
    return 0


def say(**fields: object) -> None:
    """Tell the engine something."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def write(place: Path, **fields: object) -> None:
    """Append a line in one write: nothing of it is lost when this process is killed."""
    log = os.open(place / "runs.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(log, json.dumps(fields).encode() + b"\n")
    os.close(log)


if __name__ == "__main__":
    sys.exit(main())

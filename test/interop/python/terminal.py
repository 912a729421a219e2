"""Runs a program on a terminal of its own: `terminal.py ANSWERS PROGRAM ARGUMENT...`.

ANSWERS is a JSON list of texts; each is typed when the program has asked (its output ends with a colon and a space).
Prints what the terminal showed and the exit code, as JSON.
"""
import json
import os
import pty
import sys

answers = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b""
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    if answers and shown.endswith(b": "):
        os.write(terminal, answers.pop(0).encode())
_, status = os.waitpid(pid, 0)
print(json.dumps({"shown": shown.decode(), "code": os.waitstatus_to_exitcode(status)}))

"""Runs a broker on a terminal of its own: `hangup.py ASK PROGRAM ARGUMENT...`.

Once it is ready it gets SIGHUP while the terminal is there, if ASK is `ask`, and says what it read; then the terminal is closed.
Prints what the terminal showed and the end of the process, a signal as a negative number, as JSON.
"""
import json
import os
import pty
import signal
import sys

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b""


def until(text):
    global shown
    while text not in shown:
        shown += os.read(terminal, 4096)


until(b"ready")
if sys.argv[1] == "ask":
    os.kill(pid, signal.SIGHUP)
    until(b"nothing has changed")
os.close(terminal)
_, status = os.waitpid(pid, 0)
print(json.dumps({"shown": shown.decode(), "code": os.waitstatus_to_exitcode(status)}))

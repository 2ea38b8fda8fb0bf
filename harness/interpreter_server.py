"""What another interpreter runs: it imports torch and the worker once, and forks a process for each cell.

Started as `python -I interpreter_server.py DESCRIPTOR FOLDER`: a socket to the parent (`interpreters.Interpreter`), and
the folder that holds our packages and nothing else. Each message carries two descriptors, the new worker's connection
and a pipe; its text is the worker's log. Into the pipe go the worker's process id and, when it ended, its exit code, 8
bytes each. Nothing but the standard library, torch and the worker is imported; Python 3.11 to 3.13.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
from multiprocessing.connection import Connection

NUMBER = struct.Struct("!q")


def main(descriptor: int, folder: str) -> None:
    sys.path.append(folder)
    import torch
    import torch._dynamo  # as in the workers here: see `process.PRELOADED`

    from harness import worker

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait
    with socket.socket(fileno=descriptor) as parent:
        parent.sendall(json.dumps({"python": sys.version.split()[0], "torch": torch.__version__}).encode() + b"\n")
        while True:
            message, descriptors, _, _ = socket.recv_fds(parent, 4096, 2)
            if not message:
                return
            if os.fork() == 0:
                parent.close()
                _wait_for_worker(worker.serve, *descriptors, message.decode())
                os._exit(0)
            for one in descriptors:
                os.close(one)


def _wait_for_worker(serve, connection: int, status: int, log: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(status)
            serve(Connection(connection), log)
            code = 0
        finally:
            os._exit(code)
    os.close(connection)
    os.write(status, NUMBER.pack(pid))
    _, ended = os.waitpid(pid, 0)
    os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(ended)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

"""What another interpreter runs: it imports torch and the worker once, and forks a process for each cell.

Started as `python -P -s interpreter_server.py DESCRIPTOR FOLDER`: a socket to the parent (`interpreters.Interpreter`),
and the folder that holds our packages and nothing else. Each message carries two descriptors, the new worker's
connection and the pipe of `forking.fork`; its text is the worker's log. Nothing but the standard library, torch and the
worker is imported; Python 3.11 to 3.13.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from multiprocessing.connection import Connection

HASH_SEED = "3"
"""PYTHONHASHSEED of the processes that a worker starts: each real process has its own."""


def main(descriptor: int, folder: str) -> None:
    sys.path.insert(0, folder)
    os.environ["PYTHONHASHSEED"] = HASH_SEED
    import torch
    import torch._dynamo  # as in the workers here: see `process.PRELOADED`

    from harness import worker
    from harness.system import forking, huge_pages

    huge_pages.gather()
    with socket.socket(fileno=descriptor) as parent:
        parent.sendall(json.dumps({"python": sys.version.split()[0], "torch": torch.__version__}).encode() + b"\n")
        while True:
            message, descriptors, _, _ = socket.recv_fds(parent, 4096, 2)
            if not message:
                return
            connection, status = descriptors
            if forking.fork(status):
                parent.close()
                code = 1
                try:
                    worker.serve(Connection(connection), message.decode())
                    code = 0
                finally:
                    os._exit(code)
            os.close(connection)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

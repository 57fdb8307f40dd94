"""A `runner` that is warm: one process loads the libraries once, and each command is a fork of it.

    python warm_runner.py serve SOCKET          says "ready", and ends with its standard input
    python -IS warm_runner.py SOCKET ARGUMENT…  the command; its folder, environment and streams are handed over

What a command does is the same; what is left out is ten seconds of imports.
"""

import json
import os
import signal
import socket
import sys

LOADED = (
    "torch", "transformers", "peft", "datasets", "evaluate", "optuna", "pandas", "scipy.stats", "sklearn.linear_model",
    "transformers.trainer", "transformers.models.bert.modeling_bert", "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.t5.modeling_t5", "peft.tuners.lora", "runner.train", "runner.resume",
    "runner.triage.carry_out", "runner.crossval.carry_out", "runner.merge.run", "runner.sweep.driver",
    "runner.predict", "store",
)  # fmt: skip


def serve(path: str) -> None:
    """Answer commands until standard input ends."""
    import gc
    import importlib
    import threading

    from runner.quiet import quiet_libraries

    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "true"}  # as `runner.cli.run` has it
    quiet_libraries()
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(path)
    server.listen()
    print("ready", flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the commands here
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            carry_out(connection)
        connection.close()


def carry_out(connection: socket.socket) -> None:
    """One command, in a process of its own, which ends here."""
    import atexit
    import threading
    import traceback

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    asked = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    sys.argv = ["runner", *asked["arguments"]]
    code = 1
    try:
        from runner.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # as the interpreter does at its end
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(str(code).encode())
    os._exit(code)


def call(path: str, arguments: list[str]) -> int:
    """Have a command carried out; returns its exit code."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(path)
        asked = {"folder": os.getcwd(), "environment": dict(os.environ), "arguments": arguments}
        socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
        return int(connection.recv(16) or 1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    sys.exit(call(sys.argv[1], sys.argv[2:]))

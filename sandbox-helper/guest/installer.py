"""Installs one package with pip and reports what it needs and provides.

Runs in a sandbox of its own, since installing a source package runs its code.
"""

import os
import sys

from _argyle import fastjson

OUTPUT_TAIL_BYTES = 8192


def run(conn, document):
    """Runs pip if the boot document has an argv, then describes `target`. Returns 0.

    Without argv it only describes what is there already. The answer is one JSON line.
    """
    output = b""
    code = 0
    argv = document.get("argv") or []
    if argv:
        code, output = run_pip(argv, document.get("env", {}))
    result = {"ok": False, "code": code, "deps": [], "top_level": []}
    if code == 0:
        try:
            result.update(_describe(document, compile_files=bool(argv)))
            result["ok"] = True
        except Exception as error:
            output += f"\n{type(error).__name__}: {error}\n".encode("utf-8", "backslashreplace")
    result["output"] = output[-OUTPUT_TAIL_BYTES:].decode("utf-8", "replace")
    conn.send(fastjson.dumps(result).encode("ascii") + b"\n")
    conn.close()
    return 0


def run_pip(argv, env):
    """Runs pip. Returns (exit code or -signal, last part of its output).

    A process of its own, since this one was started without site-packages and would keep pip's
    memory. pip is told not to compile: it would write .pyc files that are checked on each import.
    """
    import subprocess

    command = [sys.executable, "-m", "pip", *argv]
    if argv[0] == "install" and not {"--compile", "--no-compile"} & set(argv):
        command.append("--no-compile")
    process = subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    tail = b""
    while data := os.read(process.stdout.fileno(), 1 << 16):
        tail = (tail + data)[-OUTPUT_TAIL_BYTES:]
    return process.wait(), tail


def _describe(document, compile_files):
    from _argyle import metadata

    target = document["target"]
    description = metadata.describe(target, document["spec"])
    if compile_files:
        metadata.compile_tree(target)
    return description

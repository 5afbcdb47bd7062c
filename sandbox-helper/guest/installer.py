"""Installs one package, or resolves requirements, with uv or pip.

Runs in a sandbox of its own, since installing a source package runs its code.
"""

import os
import sys

from _argyle import fastjson

OUTPUT_TAIL_BYTES = 8192
# Largest result file that is passed on: a lock of 1,000 packages with their hashes.
RESULT_BYTES = 3 << 20
UV = "/runtime/uv"
# What uv leaves beside a package.
UV_LEFTOVERS = (".lock", ".uv-cache")


def run(conn, document):
    """Runs the tool if the boot document has an argv, then describes `target`. Returns 0.

    Without argv it only describes what is there already. With `result_file`, the text of that
    file is the result and nothing is described. The answer is one JSON line.
    """
    output = b""
    code = 0
    argv = document.get("argv") or []
    result = {"ok": False, "code": code, "deps": [], "top_level": []}
    try:
        _write_files(document.get("files") or {})
        if argv:
            code, output = run_tool(document.get("tool", "pip"), argv, document.get("env", {}))
        result["code"] = code
        if code == 0:
            if "result_file" in document:
                result["text"] = _read_result(document["result_file"])
            else:
                result.update(_describe(document, compile_files=bool(argv)))
            result["ok"] = True
    except Exception as error:
        output += f"\n{type(error).__name__}: {error}\n".encode("utf-8", "backslashreplace")
    result["output"] = output[-OUTPUT_TAIL_BYTES:].decode("utf-8", "replace")
    conn.send(fastjson.dumps(result).encode("ascii") + b"\n")
    conn.close()
    return 0


def run_tool(tool, argv, env):
    """Runs uv or pip. Returns (exit code or -signal, last part of its output).

    A process of its own, since this one was started without site-packages and would keep pip's
    memory. Neither compiles: both would write .pyc files that are checked on each import. The exit
    code is 127 where there is no uv.
    """
    import subprocess

    if tool == "uv":
        command = [UV, *argv]
        if not os.access(UV, os.X_OK):
            return 127, b"this worker has no uv"
    else:
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


def _write_files(files):
    """Writes the tool's input files; the worker chooses their paths."""
    for path, text in files.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def _read_result(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read(RESULT_BYTES + 1)
    if len(text) > RESULT_BYTES:
        raise ValueError(f"the result is larger than {RESULT_BYTES} bytes")
    return text


def _describe(document, compile_files):
    from _argyle import metadata

    target = document["target"]
    if compile_files:
        _remove_leftovers(target)
    description = metadata.describe(target, document["spec"])
    if compile_files:
        metadata.compile_tree(target)
    return description


def _remove_leftovers(target):
    import shutil

    for name in UV_LEFTOVERS:
        path = os.path.join(target, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

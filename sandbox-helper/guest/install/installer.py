"""Installs one package, or resolves requirements, with uv or pip.

Runs in its own sandbox, because installing a source package runs its code.
"""

import os
import stat
import sys

from _argyle import fastjson

OUTPUT_TAIL_BYTES = 8192
# Limit of a result file: a lock of 1,000 packages with their hashes.
RESULT_BYTES = 3 << 20
UV = "/runtime/uv"
# Files that uv leaves beside a package.
UV_LEFTOVERS = (".lock", ".uv-cache")
TMP = os.environ.get("TMPDIR", "/tmp")
NETRC = os.path.join(TMP, "netrc")
# pip writes the index's answers to this log only.
PIP_LOG = os.path.join(TMP, "pip.log")
# Limit of the lines of PIP_LOG in the result, bytes.
INDEX_ERRORS_BYTES = 1000
# Limit of a failed build's output in the result, bytes.
BUILD_OUTPUT_BYTES = 1500


def run(conn, document):
    """Runs the tool if the boot document has an argv, then describes `target`. Returns 0.

    Without argv it describes an existing `target`. With `result_file` it describes nothing: the
    text of that file is the result. The answer is one JSON line.
    """
    output = b""
    code = 0
    argv = document.get("argv") or []
    result = {"ok": False, "code": code, "deps": [], "top_level": []}
    try:
        _write_files(document.get("files") or {})
        if argv:
            tool = document.get("tool", "pip")
            env = dict(document.get("env", {}))
            if "netrc" in document:
                env["NETRC"] = NETRC
                _offer_netrc(document["netrc"], once=tool == "uv")
            code, output = run_tool(tool, argv, env)
            if "netrc" in document and os.path.lexists(NETRC):
                os.unlink(NETRC)
        result["code"] = code
        if code == 0:
            if "result_file" in document:
                result["text"] = _read_result(document["result_file"])
            else:
                result.update(_describe(document, compile_files=bool(argv)))
            result["ok"] = True
    except Exception as error:
        output += f"\n{type(error).__name__}: {error}\n".encode("utf-8", "backslashreplace")
    if argv and not result["ok"]:
        _empty(document.get("target") or document.get("env", {}).get("TMPDIR", ""))
    result["output"] = output[-OUTPUT_TAIL_BYTES:].decode("utf-8", "replace")
    conn.send(fastjson.dumps(result).encode("ascii") + b"\n")
    conn.close()
    return 0


def run_tool(tool, argv, env):
    """Runs uv or pip. Returns (exit code or -signal, last part of its output).

    The tool is another process, because this process has no site-packages and would keep pip's
    memory. Neither tool compiles, because its .pyc files would be checked on each import. The exit
    code is 127 where there is no uv.
    """
    import subprocess

    if tool == "uv":
        command = [UV, *argv]
        if not os.access(UV, os.X_OK):
            return 127, b"this worker has no uv"
    else:
        command = [sys.executable, "-m", "pip", *argv]
        if argv[0] == "install":
            command += ["--log", PIP_LOG]
            if not {"--compile", "--no-compile"} & set(argv):
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
    code = process.wait()
    return code, tail if code == 0 or tool == "uv" else tail + _logged()


def _logged():
    """Messages that are only in pip's log: errors of an index, and the output of a build."""
    refusals = {}
    build = []
    try:
        with open(PIP_LOG, "rb") as file:
            # Each line begins with the time.
            for line in (line.partition(b" ")[2].rstrip() for line in file):
                if b"Could not fetch" in line:
                    refusals[line.strip()] = None
                elif line.lstrip().startswith(b"Running command "):
                    build = []
                else:
                    build.append(line)
    except OSError:
        return b""
    ends = [n for n, line in enumerate(build) if b"ERROR: [present-rich]" in line]
    printed = b"".join(b"\n" + line for line in build[: ends[0]]) if ends else b""
    found = b"".join(b"\n" + line for line in refusals)[:INDEX_ERRORS_BYTES]
    return found + printed[-BUILD_OUTPUT_BYTES:]


def _offer_netrc(text, once):
    """Makes the netrc file. With `once`, the file can be read once and then no longer exists."""
    if not once:
        with open(NETRC, "w", encoding="utf-8") as file:
            file.write(text)
        return
    import threading

    def serve():
        # open() waits for the reader.
        with open(NETRC, "w", encoding="utf-8") as pipe:
            os.unlink(NETRC)
            pipe.write(text)

    os.mkfifo(NETRC, 0o600)
    threading.Thread(target=serve, daemon=True).start()


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
    from _argyle.install import metadata

    target = document["target"]
    if compile_files:
        _remove_leftovers(target)
    description = metadata.describe(target, document["spec"])
    if compile_files:
        metadata.compile_tree(target)
        _open_up(target)
    return description


def _open_up(target):
    """Makes all files readable for the worker, another user, which publishes a copy of them."""
    for folder, folders, files in os.walk(target):
        for names, needed in ((folders, 0o755), (files, 0o444)):
            for name in names:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                if not stat.S_ISLNK(status.st_mode) and status.st_mode & needed != needed:
                    os.chmod(path, stat.S_IMODE(status.st_mode) | needed)


def _empty(target):
    """Deletes the files of a failed run. The next run has another uid and cannot delete them.

    Other users' files stay, without an error: the answer matters more than an empty directory.
    """
    import shutil

    if not os.path.isdir(target):
        return
    for folder, folders, _ in os.walk(target):
        for name in folders:
            # os.walk reads this folder next, which needs the permission.
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                _attempt(os.chmod, path, 0o700)
    for name in os.listdir(target):
        path = os.path.join(target, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            _attempt(os.unlink, path)


def _attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        pass


def _remove_leftovers(target):
    import shutil

    for name in UV_LEFTOVERS:
        path = os.path.join(target, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

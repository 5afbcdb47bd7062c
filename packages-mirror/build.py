"""Builds the sample packages into a directory of wheels and source distributions.

Usage: build.py SAMPLES_DIR OUTPUT_DIR

Needs setuptools and wheel next to this Python, and no network. Does nothing when the sources have
not changed since the last build. Concurrent runs wait for each other. Builds are reproducible: the
same sources give the same wheels, byte for byte.
"""

import concurrent.futures
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

# 2024-01-01. The wheel library uses this as the time of every file.
SOURCE_DATE_EPOCH = "1704067200"
PARALLEL_BUILDS = 2


def fingerprint(samples):
    """Returns a digest of all source names and contents, and of this script."""
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for path in sorted(samples.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(
                str(path.relative_to(samples)).encode() + b"\0" + path.read_bytes() + b"\0"
            )
    return digest.hexdigest()


def plan(samples):
    """Yields (source directory, version or None, hook) for each file to build."""
    for source in sorted(path for path in samples.iterdir() if path.is_dir()):
        project = source / "pyproject.toml"
        if project.exists():
            for version in tomllib.loads(project.read_text())["tool"]["mirror"]["versions"]:
                yield source, version, "build_wheel"
        else:
            yield source, None, "build_sdist"


def build(source, version, hook, output):
    """Calls a hook of setuptools (PEP 517) on a copy of `source`, in a separate process."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = pathlib.Path(scratch, source.name)
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__"))
        if version is not None:
            for path in [tree / "pyproject.toml", *tree.rglob("*.py")]:
                text = path.read_text()
                pattern, line = r'^(version|__version__) = "0"', rf'\1 = "{version}"'
                path.write_text(re.sub(pattern, line, text, flags=re.MULTILINE))
        # The legacy backend also supports setup.py scripts without a pyproject.toml.
        call = f"import setuptools.build_meta as b; b.__legacy__.{hook}({str(output)!r})"
        done = subprocess.run(
            [sys.executable, "-c", call],
            cwd=tree,
            env={
                **os.environ,
                "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{source.name} {version or ''}: {done.stdout}{done.stderr}")


def main(samples, output):
    """Builds `samples` into `output` if they have changed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{output}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, wanted = pathlib.Path(f"{output}.stamp"), fingerprint(samples)
        if output.is_dir() and stamp.exists() and stamp.read_text() == wanted:
            return
        stamp.unlink(missing_ok=True)
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        with concurrent.futures.ThreadPoolExecutor(PARALLEL_BUILDS) as pool:
            for _ in pool.map(lambda step: build(*step, output), list(plan(samples))):
                pass
        stamp.write_text(wanted)


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
    except RuntimeError as error:
        sys.exit(f"cannot build {error}")

"""An installed package's dependencies and modules, from its *.dist-info and its files."""

import os
import pkgutil
import re
import site
import sys

UV = "/runtime/uv"


def describe(target, spec):
    """Returns {"deps": names, "top_level": modules} of the package installed in `target`.

    `deps` are the normalized names in Requires-Dist whose markers hold here and for the extras
    that `spec` asks for. `top_level` are the modules that pkgutil finds. Modules with a leading
    underscore are left out when there are others, which import them if they need them.
    Raises OSError, or ValueError when the metadata or the spec is malformed.
    """
    infos = [name for name in os.listdir(target) if name.endswith(".dist-info")]
    extras = _extras_of(spec)
    deps = set()
    for info in infos:
        # Bytes that are not UTF-8 occur in authors' names, and not in requirements.
        with open(f"{target}/{info}/METADATA", encoding="utf-8", errors="replace") as file:
            lines = _requirements(file)
        names = [_simple_name(line, extras) for line in lines]
        if None in names:
            # Only if needed: importing the library takes longer than the rest of this function.
            deps |= _dependencies(lines, extras, target, info.split("-")[0])
        else:
            deps.update(name for name in names if name)
    names = sorted(module.name for module in pkgutil.iter_modules([target]))
    public = [name for name in names if not name.startswith("_")]
    return {"deps": sorted(deps), "top_level": public or names}


def _extras_of(spec):
    found = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([A-Za-z0-9._,-]*)\])?", spec)
    if not found:
        raise ValueError(f"{spec!r} names no package")
    return {_normalize(extra) for extra in (found[2] or "").split(",") if extra}


def _normalize(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(lines):
    """Values of the Requires-Dist fields. The description begins after the first empty line."""
    found = []
    last = ""
    for line in lines:
        name, _, value = line.partition(":")
        if line.isspace():
            break
        if name.lower() == "requires-dist":
            found.append(value.strip())
        elif line[0] in " \t" and found and last == "requires-dist":
            found[-1] += " " + line.strip()
        if line[0] not in " \t":
            last = name.lower()
    return found


def _simple_name(requirement, extras):
    """The name if there is no marker or a wanted extra, "" for another extra, None otherwise."""
    found = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(;.*)?$", requirement)
    if not found:
        return None
    extra = re.match(r"; *extra *== *[\"']([A-Za-z0-9._-]+)[\"'] *$", found[2] or "")
    if extra:
        return _normalize(found[1]) if _normalize(extra[1]) in extras else ""
    return None if found[2] else _normalize(found[1])


def _packaging():
    """The `packaging` library, from pip's own copy or installed by itself; None without either."""
    for directory in site.getsitepackages():
        if directory not in sys.path:
            sys.path.append(directory)
    try:
        from pip._vendor import packaging
        from pip._vendor.packaging import requirements
    except ImportError:
        try:
            import packaging
            from packaging import requirements
        except ImportError:
            return None
    assert requirements
    return packaging


def _dependencies_by_uv(target, name):
    """The dependencies as uv lists them, without those that only an extra asks for."""
    import subprocess

    argv = [
        UV,
        "pip",
        "show",
        "--no-config",
        "--no-cache",
        "--target",
        target,
        "--python",
        sys.executable,
        name,
    ]
    try:
        shown = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return set()
    for line in shown.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("Requires:"):
            return {part.strip() for part in line[len("Requires:") :].split(",")} - {""}
    return set()


def _dependencies(lines, extras, target, name):
    packaging = _packaging()
    if packaging is None:
        shown = _dependencies_by_uv(target, name)
        simple = [_simple_name(line, extras) for line in lines]
        return {name for name in simple if name} | shown
    names = set()
    for text in lines:
        requirement = packaging.requirements.Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            names.add(_normalize(requirement.name))
    return names


# POLICY: tests are not compiled. They are half of each large package (pandas, numpy, sympy), and no
# function imports them.
TESTS = re.compile(r"/tests/")


def compile_tree(target):
    """Writes .pyc files that Python uses without checking the source (PEP 552)."""
    import compileall
    from py_compile import PycInvalidationMode

    compileall.compile_dir(
        target,
        quiet=2,
        force=True,
        rx=TESTS,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )

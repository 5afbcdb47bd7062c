"""What an installed package depends on and provides, from its *.dist-info and its files."""

import os
import pkgutil
import site
import sys

UV = "/runtime/uv"


def describe(target, spec):
    """Returns {"deps": names, "top_level": modules} of the package installed in `target`.

    `deps` are the normalized names in Requires-Dist whose markers hold here and for the extras
    that `spec` asks for. `top_level` is what pkgutil finds; modules with a leading underscore are
    left out when there are others, because those import them if they need them.
    Raises OSError, or packaging's errors when the metadata or the spec is malformed.
    """
    infos = [name for name in os.listdir(target) if name.endswith(".dist-info")]
    deps = set()
    packaging = _packaging()
    if packaging is None:
        for info in infos:
            deps |= _dependencies_by_uv(target, info.split("-")[0])
    else:
        extras = packaging.requirements.Requirement(spec).extras
        for info in infos:
            deps |= _dependencies(packaging, f"{target}/{info}/METADATA", extras)
    names = sorted(module.name for module in pkgutil.iter_modules([target]))
    public = [name for name in names if not name.startswith("_")]
    return {"deps": sorted(deps), "top_level": public or names}


def _packaging():
    """The `packaging` library, from pip's own copy or installed by itself; None without either."""
    for directory in site.getsitepackages():
        if directory not in sys.path:
            sys.path.append(directory)
    try:
        from pip._vendor import packaging
        from pip._vendor.packaging import requirements, utils
    except ImportError:
        try:
            import packaging
            from packaging import requirements, utils
        except ImportError:
            return None
    assert requirements and utils
    return packaging


def _dependencies_by_uv(target, name):
    """The same names as uv tells them, without those that only an extra asks for."""
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


def _dependencies(packaging, path, extras):
    from email.parser import BytesHeaderParser

    with open(path, "rb") as file:
        headers = BytesHeaderParser().parse(file)
    names = set()
    for text in headers.get_all("Requires-Dist", []):
        requirement = packaging.requirements.Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            names.add(packaging.utils.canonicalize_name(requirement.name))
    return names


def compile_tree(target):
    """Writes .pyc files that are used without looking at the source again (PEP 552)."""
    import compileall
    from py_compile import PycInvalidationMode

    compileall.compile_dir(
        target, quiet=2, force=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )

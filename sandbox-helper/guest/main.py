"""Starts a guest: `python3 -I -S /runtime/main.py ROLE [SOCKET]`, see start.py.

The modules beside this file are loaded as the package `_argyle`, so that neither sys.path nor a
plain module name such as `http1` or `entry` is taken away from handlers. Those that every guest
needs come out of one file, which pack.py made: looking for each of them takes 1 ms in all.
"""

import sys

import _frozen_importlib_external
import marshal


def _make_package(folder):
    """Lets `import _argyle.x` find x.py in `folder`, and loads what is packed for this Python."""
    module_type = type(sys)
    package = module_type("_argyle")
    package.__path__ = [folder]
    sys.modules["_argyle"] = package
    magic = _frozen_importlib_external.MAGIC_NUMBER
    try:
        with open(f"{folder}/guest.pack", "rb", 0) as file:
            data = file.read()
    except OSError:
        return
    if not data.startswith(magic):
        return
    for name, code in marshal.loads(data[len(magic) :]):
        module = module_type(f"_argyle.{name}")
        module.__package__ = "_argyle"
        module.__file__ = f"{folder}/{name}.py"
        sys.modules[f"_argyle.{name}"] = module
        exec(code, module.__dict__)
        setattr(package, name, module)


if __name__ == "__main__":
    _make_package(__file__.rpartition("/")[0] or ".")
    from _argyle import start

    sys.exit(start.main(sys.argv))

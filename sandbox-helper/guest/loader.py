"""Loads what every guest needs, and starts it.

The modules beside this file are loaded as the package `_argyle`, so that neither sys.path nor a
plain module name such as `http1` or `entry` is taken away from handlers. Those that every guest
needs come out of one file, which pack.py made: looking for each of them takes 1 ms in all.
"""

import sys


def run(folder, modules):
    """Lets `import _argyle.x` find x.py in `folder`, loads the given ones, and becomes the guest.

    `modules` are pairs of a name and compiled code, each after those that it imports.
    """
    module_type = type(sys)
    package = module_type("_argyle")
    package.__path__ = [folder]
    sys.modules["_argyle"] = package
    for name, code in modules:
        module = module_type(f"_argyle.{name}")
        module.__package__ = "_argyle"
        module.__file__ = f"{folder}/{name}.py"
        sys.modules[f"_argyle.{name}"] = module
        exec(code, module.__dict__)
        setattr(package, name, module)
    from _argyle import start

    sys.exit(start.main(sys.argv))

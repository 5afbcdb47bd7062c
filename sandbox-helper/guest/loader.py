"""Loads the modules that every guest needs, and starts the guest.

They are loaded as the package `_argyle`, so that sys.path and plain module names such as `http1`
and `entry` stay free for handlers. pack.py packs them into one file, because finding them one by
one takes 1 ms for all together.
"""

import sys


FOLDERS = ("http", "apps", "fork", "install")


def run(folder, modules):
    """Makes the package _argyle over `folder`, loads the given modules, and runs the guest.

    `modules` are pairs of a name such as `http.conn` and compiled code, each after those that it
    imports.
    """
    module_type = type(sys)
    packages = {"": module_type("_argyle")}
    packages[""].__path__ = [folder]
    sys.modules["_argyle"] = packages[""]
    for name in FOLDERS:
        package = packages[name] = module_type(f"_argyle.{name}")
        package.__path__ = [f"{folder}/{name}"]
        sys.modules[f"_argyle.{name}"] = package
        setattr(packages[""], name, package)
    for name, code in modules:
        parent, _, last = name.rpartition(".")
        package = packages[parent]
        module = module_type(f"_argyle.{name}")
        module.__package__ = package.__name__
        module.__file__ = f"{package.__path__[0]}/{last}.py"
        sys.modules[f"_argyle.{name}"] = module
        exec(code, module.__dict__)
        setattr(package, last, module)
    from _argyle import start

    sys.exit(start.main(sys.argv))

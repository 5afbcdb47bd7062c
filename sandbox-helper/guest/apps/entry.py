"""Loads a handler: environment, sys.path, the entry file, and which kind of entry it has."""

import posix
import sys
import time

import _frozen_importlib
import _frozen_importlib_external

from _argyle import clib, environ

# Prefix of /handler, /packages and /tmp. Only tests set it, because they run without a chroot. In a
# sandbox, the environment at this point contains the helper's variables and not yet the handler's.
ROOT = environ.pop("ARGYLE_GUEST_ROOT") or ""
HANDLER_DIR = f"{ROOT}/handler"
PACKAGES_DIR = f"{ROOT}/packages/"

# inspect.CO_COROUTINE; importing inspect takes longer than starting Python.
_CO_COROUTINE = 0x80
# Limit of the names in one report. The report is a header, so its length is limited. A zygote that
# imports the first names also loads many of the others.
_MAX_SUBMODULES = 64
_MAX_NAME = 128
_READ_BYTES = 1 << 16

# The default name of the entry file, and modules that were prepared ahead, by path.
_USUAL = "f"
_prepared = {}


class Entry:
    """A loaded entry file.

    `kind` is function, wsgi or asgi. `specs` are the packages whose modules the import loaded.
    `known` is the number of modules before the import. `started` is the start of the import, in ns
    of time.perf_counter_ns().
    """

    def __init__(self, kind, target, started, import_ms, specs, known):
        self.kind = kind
        self.started = started
        self.target = target
        self.import_ms = import_ms
        self.specs = specs
        self.known = known


def prepare(document):
    """Applies the boot document's environment and search path, and enters the code directory.

    POLICY: the document's variables replace the guest's defaults. On sys.path /handler comes first,
    then the document's directories in their order, then the standard library. Python programs that
    the handler starts find the same directories through PYTHONPATH.
    """
    env = document.get("env", {})
    for name, value in env.items():
        environ.put(name, value)
    if "TZ" in env:
        time.tzset()
    # /handler and /packages are read-only: an attempt to write a .pyc there costs 0.1 ms per file.
    sys.dont_write_bytecode = True
    search = [HANDLER_DIR, *document.get("sys_path", [])]
    sys.path[:0] = search
    if path := env.get("PYTHONPATH"):
        search.insert(0, path)
    environ.put("PYTHONPATH", ":".join(search))
    posix.chdir(HANDLER_DIR)


def load(document):
    """Imports the entry file. Passes on any exception of the import."""
    filename = environ.get("OL_ENTRY_FILE") or document.get("entry_file") or f"{_USUAL}.py"
    if "/" in filename or not filename.endswith(".py") or filename == ".py":
        raise ValueError(f"OL_ENTRY_FILE: {filename!r} is not the name of a top-level .py file")
    known = len(sys.modules)
    started = time.perf_counter_ns()
    module = _import_file(filename[:-3], f"{HANDLER_DIR}/{filename}")
    kind, target = select(module)
    import_ms = (time.perf_counter_ns() - started) // 1000 / 1000
    return Entry(kind, target, started, import_ms, _loaded_specs(known), known)


def _import_file(name, path):
    # Like importlib.util, but without the 3 ms of its own imports, and without the search for a
    # .pyc, which takes as long as compiling a small file: 0.1 ms.
    try:
        source = _read(path)
    except FileNotFoundError:
        message = f"OL_ENTRY_FILE: the code has no top-level file {name}.py"
        raise FileNotFoundError(message) from None
    module = _prepared.pop(path, None) or _new_module(name, path)
    # The module is loaded by path, because a zygote may have loaded another module of this name.
    sys.modules[name] = module
    exec(_compile(source, path), module.__dict__)
    return module


def prepare_entry_module():
    """Makes the empty module of the default entry file. A zygote does so for its children."""
    path = f"{HANDLER_DIR}/{_USUAL}.py"
    _prepared[path] = _new_module(_USUAL, path)


def _new_module(name, path):
    module = type(sys)(name)
    loader = _frozen_importlib_external.SourceFileLoader(name, path)
    spec = _frozen_importlib.ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    module.__file__ = path
    module.__loader__ = loader
    module.__package__ = ""
    module.__spec__ = spec
    return module


def _compile(source, path):
    # The first call of the builtin compile() makes Python's types for syntax trees. That takes 1.3
    # ms in a fresh guest.
    try:
        library = clib.load()
    except ImportError:
        library = None
    if library is None or b"\0" in source:
        return compile(source, path, "exec", dont_inherit=True)
    return library.compile(source, path.encode(sys.getfilesystemencoding(), "surrogateescape"))


def _read(path):
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while data := posix.read(fd, _READ_BYTES):
            parts.append(data)
        return b"".join(parts)
    finally:
        posix.close(fd)


def _loaded_since(known):
    """Names of the modules that were loaded after the first `known` ones, the last one first.

    A child shares its zygote's memory. Each use of an object writes the object's reference count,
    and the kernel then copies the page. A set of all names would copy nearly one page per name. In
    a child of a pandas zygote, that is 2 MB.
    """
    names = []
    left = len(sys.modules) - known
    if left > 0:
        for name in reversed(sys.modules):
            names.append(name)
            left -= 1
            if left == 0:
                break
    return names


def _loaded_specs(known):
    """Specs under /packages of which a module was loaded after the first `known` ones."""
    specs = {}
    for name in _loaded_since(known):
        path = getattr(sys.modules[name], "__file__", None)
        if isinstance(path, str) and path.startswith(PACKAGES_DIR):
            specs[path[len(PACKAGES_DIR) :].partition("/")[0]] = None
    return sorted(specs)


def submodules(known):
    """Names of modules by the spec of their package, for packages that were loaded before.

    The modules themselves were loaded after the first `known` modules. A zygote could have imported
    them together with the package. Python moves a module to the end of sys.modules when its import
    ends. The names come in reverse order, so a module comes before the modules that it imported.
    """
    names = _loaded_since(known)
    new = set(names)
    found = {}
    left = _MAX_SUBMODULES
    for name in names:
        if left == 0:
            break
        if len(name) > _MAX_NAME or name.partition(".")[0] in new:
            continue
        path = getattr(sys.modules[name], "__file__", None)
        if isinstance(path, str) and path.startswith(PACKAGES_DIR):
            found.setdefault(path[len(PACKAGES_DIR) :].partition("/")[0], []).append(name)
            left -= 1
    return found


def select(module):
    """Picks the entry: OL_WSGI_ENTRY, OL_ASGI_ENTRY, `f`, or `app`. Returns (kind, object)."""
    for variable, kind in (("OL_WSGI_ENTRY", "wsgi"), ("OL_ASGI_ENTRY", "asgi")):
        if name := environ.get(variable):
            return kind, _attribute(module, name, variable)
    if hasattr(module, "f"):
        return "function", _callable(module.f, "f")
    if hasattr(module, "app"):
        app = _callable(module.app, "app")
        return ("asgi" if is_async(app) else "wsgi"), app
    raise AttributeError(f"{module.__name__}.py defines neither f nor app")


def _attribute(module, name, variable):
    target = module
    for part in name.split("."):
        if not hasattr(target, part):
            raise AttributeError(f"{variable}: {module.__name__}.py has no attribute {name!r}")
        target = getattr(target, part)
    return _callable(target, f"{variable}={name}")


def _callable(target, label):
    if not callable(target):
        raise TypeError(f"{label}: {type(target).__name__} is not callable")
    return target


def is_async(app):
    """Whether calling `app` gives a coroutine: a coroutine function or an async __call__."""
    while type(app).__name__ == "partial":
        app = app.func
    for candidate in (app, getattr(type(app), "__call__", None)):
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            return True
    return False

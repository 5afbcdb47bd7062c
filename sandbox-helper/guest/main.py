"""Starts a guest: `python3 -I -S /runtime/main.py ROLE [SOCKET]`, see loader.py and start.py.

This file is short, because Python compiles it at each start. guest.pack has all else (pack.py).
"""

import gc
import marshal

from _frozen_importlib_external import MAGIC_NUMBER

# start.py enables it again.
gc.disable()
folder = __file__.rpartition("/")[0] or "."
# With __file__, children of multiprocessing and joblib would run this file again.
del __file__
try:
    with open(f"{folder}/guest.pack", "rb", 0) as file:
        data = file.read()
except OSError:
    data = b""
if data.startswith(MAGIC_NUMBER):
    loader, modules = marshal.loads(data[len(MAGIC_NUMBER) :])
else:
    # There is no pack, or it is for another Python.
    modules = ()
    with open(f"{folder}/loader.py", "rb") as file:
        loader = file.read()
names = {}
exec(loader, names)
names["run"](folder, modules)

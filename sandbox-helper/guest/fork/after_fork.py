"""Reseeds random generators after a fork: zygote and children must share no random state.

libguest has run CPython's own after-fork hooks, which reseed `random` and reset locks. C libraries
recognize a fork by a changed process id. But zygote and child are each process 1 of their own pid
namespace, so generators that rely on the process id are reseeded here.
"""

import os
import sys


def reseeds():
    """Returns functions that reseed the generators of loaded modules, which a fork copies.

    The zygote calls this once, because the lookups would copy 20 pages in each child. Generators
    that a package made itself (random.Random(), numpy.random.default_rng()) cannot be found. They
    stay as they are.
    """
    found = []
    modules = sys.modules
    if random := modules.get("random"):
        found.append(random.seed)
    if "tempfile" in modules:
        found.append(_reseed_tempfile)
    if "_ssl" in modules:
        found.append(_reseed_ssl)
    if numpy_random := modules.get("numpy.random"):
        found.append(numpy_random.seed)
    return found


def _reseed_tempfile():
    sys.modules["tempfile"]._name_sequence = None


def _reseed_ssl():
    # OpenSSL's other generators reseed from the primary one before their next use. Without this,
    # children of one zygote draw the same bytes and TLS secrets.
    sys.modules["_ssl"].RAND_add(os.urandom(48), 48.0)

"""What a process owes itself after it was forked from a zygote: nothing random may be shared.

libguest has run CPython's own after-fork hooks, which reseed `random` and reset locks. They and
the C libraries tell a fork by a changed process id, but zygote and child are each process 1 of
their own pid namespace, so whatever goes by the process id is put right here.
"""

import os
import sys


def reseeds():
    """Functions that reseed each generator of the loaded modules known to go on across a fork.

    The zygote asks once, so that a child looks at none of those names: that copied 20 pages.
    Generators that a package made for itself (random.Random(), numpy.random.default_rng()) cannot
    be found and stay as they were.
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
    # Seeding OpenSSL's primary generator makes the ones below it reseed before their next use.
    # Without this, children of one zygote were seen to draw the same bytes and TLS secrets.
    sys.modules["_ssl"].RAND_add(os.urandom(48), 48.0)

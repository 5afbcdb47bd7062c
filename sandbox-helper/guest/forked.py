"""What a process owes itself after it was forked from a zygote: nothing random may be shared.

libguest has run CPython's own after-fork hooks, which reseed `random` and reset locks. They and
the C libraries tell a fork by a changed process id, but zygote and child are each process 1 of
their own pid namespace, so whatever goes by the process id is put right here.
"""

import gc
import os
import sys


def refresh(base_path):
    """Gives the child its own randomness, garbage collection and sys.path."""
    sys.path[:] = base_path
    reseed()
    gc.enable()


def reseed():
    """Reseeds every generator of the loaded modules that is known to go on across a fork.

    Generators that a package made for itself (random.Random(), numpy.random.default_rng()) cannot
    be found and stay as they were.
    """
    modules = sys.modules
    if random := modules.get("random"):
        random.seed()
    if tempfile := modules.get("tempfile"):
        tempfile._name_sequence = None
    # Seeding OpenSSL's primary generator makes the ones below it reseed before their next use.
    # Without this, children of one zygote were seen to draw the same bytes and TLS secrets.
    if ssl := modules.get("_ssl"):
        ssl.RAND_add(os.urandom(48), 48.0)
    if numpy_random := modules.get("numpy.random"):
        numpy_random.seed()

"""A setup script that fails, after it has tried to leave things where an installer can write.

Installing a source distribution runs it. It must fail the installation and change nothing.
"""

import os
import sys

from setuptools import setup

TRICKS = [
    "/host/argyle.json",
    "/host/files/argyle_sample_badsetup.py",
    "/packages/argyle-sample-badsetup.txt",
]

if "sdist" not in sys.argv and os.path.isdir("/packages"):
    for path in TRICKS:
        try:
            with open(path, "w") as file:
                file.write("was here")
        except OSError as error:
            print("could not write", path, error)

if "sdist" not in sys.argv:
    sys.exit("argyle-sample-badsetup refuses to be installed")

setup(name="argyle-sample-badsetup", version="1.0.0", description="Its setup script fails")

"""A source distribution of the old kind: installing it runs this script."""

from setuptools import setup

setup(
    name="argyle-sample-oldsetup",
    version="1.0.0",
    description="Has no wheel, so that it is built where it is installed",
    packages=["argyle_sample_oldsetup"],
    package_dir={"": "src"},
)

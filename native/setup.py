"""One extension module for Python 3.11 and all later versions (the limited API)."""

from setuptools import Extension, setup

setup(
    ext_modules=[Extension("edge_native", ["edge_native.c"], py_limited_api=True)],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    py_modules=[],
)

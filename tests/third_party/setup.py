from setuptools import Extension, setup

from glamm.kernels import include

setup(
    packages=["glamm_zip"],
    ext_modules=[Extension("glamm_zip._block", ["glamm_zip/_block.c"], include_dirs=[include()])],
)

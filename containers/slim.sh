#!/bin/sh
# Take out of installed Python packages what no task needs: their tests and sample images, what others
# compile against, and the symbols that only debuggers read. Libraries that wheels bring along (*.libs)
# are left as they are: their headers were moved when the wheel was made, and strip would break them.
set -eu
find "$1" -depth -type d \( -name tests -o -name include \) -exec rm -rf {} +
find "$1" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*.h' \
    -o -name '*.c' -o -name '*.cpp' \) -delete
# Compiled again by the recipe, but for packages that no task imports.
find "$1" -type f -name '*.pyc' -delete
find "$1"/python3*/site-packages/skimage/data -type f ! -name '*.py' -delete
# Fonts that only PDF and PostScript are set in, data of matplotlib's gallery, and what numpy tests its kernels with.
rm -rf "$1"/python3*/site-packages/matplotlib/mpl-data/sample_data \
    "$1"/python3*/site-packages/matplotlib/mpl-data/fonts/afm \
    "$1"/python3*/site-packages/matplotlib/mpl-data/fonts/pdfcorefonts \
    "$1"/python3*/site-packages/numpy/_core/_simd.*.so
find "$1" -type f -name '*.so*' ! -path '*.libs/*' -exec strip --strip-unneeded {} +

"""The science of this project: one module per DVC stage, plus what stages share."""

import os
import platform

# NumPy, OpenBLAS and OpenMP choose code by the processor and its cores, and each choice rounds differently.
# Set before they are imported, these give the same bytes on every arm64, and every x86-64 with AVX2; NumPy
# refuses to run on one without. Remove them to use all of a machine: results then match up to rounding.
X86 = platform.machine() in ("x86_64", "AMD64")
os.environ.update(
    OPENBLAS_CORETYPE="Haswell" if X86 else "ARMV8",
    OPENBLAS_NUM_THREADS="1",  # the one number that every machine has
    OMP_NUM_THREADS="1",
    NPY_ENABLE_CPU_FEATURES="X86_V3" if X86 else "ASIMD",  # AVX2 and FMA; what every arm64 has
    NPY_DISABLE_CPU_FEATURES="",  # NumPy does not start with both set
)

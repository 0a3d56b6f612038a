"""The science of this project: one module per DVC stage, and the modules that stages share."""

import os
import platform

# NumPy, OpenBLAS and OpenMP select code by the processor, and each selection rounds differently. Set before
# their import, these give the same bytes on every arm64 and every x86-64 with AVX2; without AVX2, NumPy does
# not start. Remove them to use all cores and instructions; results then agree only up to rounding.
X86 = platform.machine() in ("x86_64", "AMD64")
os.environ.update(
    OPENBLAS_CORETYPE="Haswell" if X86 else "ARMV8",
    OPENBLAS_NUM_THREADS="1",  # the only number of threads that every machine has
    OMP_NUM_THREADS="1",
    NPY_ENABLE_CPU_FEATURES="X86_V3" if X86 else "ASIMD",  # X86_V3 has AVX2 and FMA; every arm64 has ASIMD
    NPY_DISABLE_CPU_FEATURES="",  # NumPy does not start if both variables are set
)

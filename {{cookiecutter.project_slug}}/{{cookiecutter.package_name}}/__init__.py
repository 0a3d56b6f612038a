"""The science of this project: one module per DVC stage, plus what stages share."""

import os

# NumPy, OpenBLAS and OpenMP choose code by the processor and share work among its cores, and each choice
# rounds differently. Set before they are imported, these give the same bytes on every x86-64 processor with
# AVX2; NumPy refuses to run on one without. Remove them to use all of this machine: results then match
# another machine's only up to rounding.
os.environ.update(
    OPENBLAS_CORETYPE="Haswell",
    OPENBLAS_NUM_THREADS="1",  # the one number that every machine has
    OMP_NUM_THREADS="1",
    NPY_ENABLE_CPU_FEATURES="X86_V3",  # AVX2 and FMA
    NPY_DISABLE_CPU_FEATURES="",  # NumPy does not start with both set
)

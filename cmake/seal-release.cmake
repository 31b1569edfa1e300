# How SEAL is built. The build script of `seal_fhe` gives its settings on CMake's command line; this toolchain file is
# read later and overrules them. Cargo does not notice when a file of this folder changes, therefore:
# `stamp` in crates/encrypted/src/seal/ffi.rs and seal-checks.h carry a number, and a library of another number does not
# link; the profile of `seal_fhe` in Cargo.toml carries it too, so that cargo builds SEAL anew. Change all three together.

# Cargo's profile would choose Debug, which is 30 times slower.
set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)

# The zlib that SEAL brings along asks for a CMake older than what CMake 4 still knows.
set(CMAKE_POLICY_VERSION_MINIMUM 3.5)

# SEAL's own default: errors are sampled from a centered binomial distribution, in constant time. `seal_fhe` asks for
# a rounded Gaussian, sampled in floating point and in variable time.
set(SEAL_USE_GAUSSIAN_NOISE OFF CACHE BOOL "" FORCE)

# Before each file of SEAL: checked allocations, and the stamp. This file is read more than once.
if(NOT CMAKE_CXX_FLAGS MATCHES "seal-checks.h")
    set(CMAKE_CXX_FLAGS "${CMAKE_CXX_FLAGS} -include \"${CMAKE_CURRENT_LIST_DIR}/seal-checks.h\"" CACHE STRING "" FORCE)
endif()

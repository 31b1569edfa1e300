// Read before each C++ file of SEAL (see seal-release.cmake). It mends what SEAL 4.0.0 does when memory runs out, and
// carries the stamp by which a build with other settings does not link.
#pragma once

// CMake also compiles probes of the compiler, which have none of SEAL's folders.
#if defined(__cplusplus) && __has_include("seal/util/config.h")
#include "seal/util/defines.h"

#include <cstddef>
#include <cstdlib>
#include <new>

#ifdef SEAL_USE_GAUSSIAN_NOISE
#error "SEAL is to be built with its centered binomial sampler; see cmake/seal-release.cmake"
#endif

namespace cryptotl
{
    // What is called when there is no memory. Not `std::get_new_handler`: mimalloc brings a weak one that knows of none.
    inline std::new_handler &out_of_memory()
    {
        static std::new_handler handler = nullptr;
        return handler;
    }

    // As `operator new`: asks the handler when there is no memory, and throws when there is no handler. SEAL 4.0.0
    // uses a null pointer (it throws since SEAL 4.1.0), and an exception would leave its pools locked.
    inline seal::seal_byte *allocate(std::size_t size)
    {
        while (true)
        {
            void *memory = (size & 63) == 0 ? ::aligned_alloc(64, size) : std::malloc(size);
            if (memory != nullptr || size == 0)
            {
                return static_cast<seal::seal_byte *>(memory);
            }
            std::new_handler handler = out_of_memory();
            if (handler == nullptr)
            {
                throw std::bad_alloc();
            }
            handler();
        }
    }
} // namespace cryptotl

#undef SEAL_MALLOC
#define SEAL_MALLOC(size) cryptotl::allocate(size)

// Says what to do when memory runs out, instead of an exception that no caller in C or Rust can catch. The number at the
// end is that of the settings in seal-release.cmake.
extern "C" __attribute__((weak, used)) void cryptotl_seal_stamp_1(void (*handler)())
{
    std::set_new_handler(handler);
    cryptotl::out_of_memory() = handler;
}
#endif

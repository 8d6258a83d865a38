// random.h: bytes from the kernel's CSPRNG (getrandom(2)). Aborts if the kernel cannot give any:
// nothing may run with predictable keys. Any process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pgbalancer {

void random_bytes(std::span<unsigned char> out);
uint32_t random_u32();
uint64_t random_u64();

} // namespace pgbalancer

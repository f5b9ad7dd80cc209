// Mutated inputs for code that reads bytes which nobody vouches for.
#ifndef LOCKSTEP_TESTS_FUZZ_MUTATE_H_
#define LOCKSTEP_TESTS_FUZZ_MUTATE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::testing {

inline constexpr size_t kMaxFuzzInputBytes = 1 << 20;

// Input number `index`: one of `seeds` (one at least), changed in a few places (bits flipped, bytes set to
// telling values, parts cut out, doubled, or taken from another seed, numbers replaced). The same arguments
// give the same input, on every machine.
std::string MutatedInput(const std::vector<std::string>& seeds, uint64_t index);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FUZZ_MUTATE_H_

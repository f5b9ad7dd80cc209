// Mutated inputs for code that reads bytes which nobody vouches for.
#ifndef LOCKSTEP_TESTS_FUZZ_FUZZ_H_
#define LOCKSTEP_TESTS_FUZZ_FUZZ_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::testing {

// Input number `index`: one of `seeds`, changed in a few places (bits flipped, bytes set to telling values,
// parts cut out, doubled, or taken from another seed, numbers replaced). The same arguments give the same
// input.
std::string MutatedInput(const std::vector<std::string>& seeds, uint64_t index);

// Calls `feed` with mutated inputs for a second, or for LOCKSTEP_FUZZ_SECONDS, beginning at number
// LOCKSTEP_FUZZ_FIRST (default 0). `feed` must not crash, and may use EXPECT and ASSERT. The input under way
// is kept in a file that outlives a crash; its path and number are printed when an expectation fails, and the
// path at the start.
void Fuzz(std::string_view name, const std::vector<std::string>& seeds,
          const std::function<void(const std::string& input)>& feed);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FUZZ_FUZZ_H_

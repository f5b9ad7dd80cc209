// Lets a test program pretend to run on a lesser CPU: LOCKSTEP_TEST_INSTRUCTIONS=avx2|sse4|scalar takes the
// better instruction sets away from our vector code (and DNNL_MAX_CPU_ISA those of oneDNN), before any kernel
// is chosen.
#include <cstdlib>
#include <cstring>

#include "hwy/highway.h"

namespace {

[[maybe_unused]] const bool limited = [] {
  const char* wanted = std::getenv("LOCKSTEP_TEST_INSTRUCTIONS");
  if (wanted == nullptr) return false;
  int64_t disabled = HWY_AVX3 | HWY_AVX3_DL;
  if (std::strcmp(wanted, "avx2") != 0) disabled |= HWY_AVX2;
  if (std::strcmp(wanted, "scalar") == 0) disabled |= HWY_SSE4 | HWY_SSSE3;
  hwy::DisableTargets(disabled);
  return true;
}();

}  // namespace

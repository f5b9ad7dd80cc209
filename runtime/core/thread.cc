#include "runtime/core/thread.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <cfenv>
#include <string>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace lockstep {

namespace {

// The OpenMP runtime comes with oneDNN, if it was built with one, and is not linked directly: a weak symbol
// would silently stay null. The setting belongs to the calling thread.
void SetOpenMpThreads(int threads) {
  using Set = void (*)(int);
  if (auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"))) set(threads);
}

int OpenMpThreads() {
  using Get = int (*)();
  auto get = reinterpret_cast<Get>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  return get != nullptr ? get() : 0;
}

}  // namespace

SingleThreadedOpenMp::SingleThreadedOpenMp() : saved_(OpenMpThreads()) { SetOpenMpThreads(1); }

SingleThreadedOpenMp::~SingleThreadedOpenMp() {
  if (saved_ > 0) SetOpenMpThreads(saved_);
}

void PrepareLaneThread() {
  std::fesetround(FE_TONEAREST);
#if defined(__SSE2__)
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _mm_setcsr(_mm_getcsr() | 0x0040);  // DAZ
#endif
  SetOpenMpThreads(1);
}

#if defined(__SSE2__)
namespace {
constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040, kRoundingMask = 0x6000;
}
LaneArithmetic::LaneArithmetic() : saved_(_mm_getcsr()) {
  _mm_setcsr((saved_ & ~kRoundingMask) | kFlushToZero | kDenormalsAreZero);
}
LaneArithmetic::~LaneArithmetic() { _mm_setcsr(saved_); }
#else
LaneArithmetic::LaneArithmetic() : saved_(static_cast<unsigned>(std::fegetround())) {
  std::fesetround(FE_TONEAREST);
}
LaneArithmetic::~LaneArithmetic() { std::fesetround(static_cast<int>(saved_)); }
#endif

void NameThread(absl::string_view name) {
  pthread_setname_np(pthread_self(), std::string(name.substr(0, 15)).c_str());
}

void GiveWayToOthers() {
  constexpr int kNice = 5;
  ::setpriority(PRIO_PROCESS, 0, kNice);  // of the calling thread alone, on Linux; lowering is always allowed
}

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

}  // namespace lockstep

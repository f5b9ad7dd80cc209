// A clock for the flight recorder that costs a third of the system's: the processor's own counter. Of unknown
// but constant rate; whoever reads it compares it with a real clock at two moments.
#ifndef LOCKSTEP_COMM_TICKS_H_
#define LOCKSTEP_COMM_TICKS_H_

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace lockstep::comm {

inline uint64_t SteadyNanoseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

#if defined(__x86_64__)
// CPUID 80000007h, EDX bit 8: the time stamp counter runs at one rate, in all cores, asleep or awake.
inline bool HasConstantTicks() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007u, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
}
inline uint64_t ProcessorTicks() { return __rdtsc(); }
#elif defined(__aarch64__)
inline bool HasConstantTicks() { return true; }
inline uint64_t ProcessorTicks() {
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
}
#else
inline bool HasConstantTicks() { return false; }
inline uint64_t ProcessorTicks() { return SteadyNanoseconds(); }
#endif

}  // namespace lockstep::comm

#endif  // LOCKSTEP_COMM_TICKS_H_

// Keeps a process alive whose mapped file becomes shorter. The system then answers a read behind the new end
// with SIGBUS, whose default is death without a word; with the guard the page reads as zeros, and whoever
// mapped it can ask and say so.
#ifndef LOCKSTEP_RUNTIME_CORE_MAPPING_GUARD_H_
#define LOCKSTEP_RUNTIME_CORE_MAPPING_GUARD_H_

#include <cstddef>

namespace lockstep {

struct MappingSlot;

// Announces a mapping for as long as it lives; destroy it before unmapping. Thread-safe.
class GuardedMapping {
 public:
  GuardedMapping() = default;
  GuardedMapping(const void* begin, size_t size_bytes);
  ~GuardedMapping();
  GuardedMapping(GuardedMapping&& other) noexcept;
  GuardedMapping& operator=(GuardedMapping&& other) noexcept;

  // Whether a page of it was lost since.
  bool lost() const;

 private:
  MappingSlot* slot_ = nullptr;
};

// Installs the handler of SIGBUS, once a process; faults outside of announced mappings go to the handler that
// was there before. The program `lockstep` calls this. The library by itself installs no signal handlers, so
// in a program of one's own a file that is cut under a running training ends it, unless it calls this too.
void InstallMappingGuard();

}  // namespace lockstep

#endif  // LOCKSTEP_RUNTIME_CORE_MAPPING_GUARD_H_

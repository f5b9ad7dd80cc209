// Built where liburing is missing.
#include "runtime/data/read/async_reads.h"

namespace lockstep::data {

std::unique_ptr<AsyncReads> MakeUringReads(int /*depth*/, AsyncReads* /*others*/) { return nullptr; }

}  // namespace lockstep::data

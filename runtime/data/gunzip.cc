#include "runtime/data/gunzip.h"

#include "runtime/data/decompress.h"

namespace lockstep::data {

absl::StatusOr<std::string> Gunzip(const std::string& name, absl::string_view compressed,
                                   size_t limit_bytes) {
  GrowingMemory contents(std::make_shared<MemoryBudget>(limit_bytes));
  RETURN_IF_ERROR(Decompress(name, Compression::kGzip, compressed, &contents));
  return std::string(contents.view());
}

}  // namespace lockstep::data

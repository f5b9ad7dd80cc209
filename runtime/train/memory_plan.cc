#include "runtime/train/memory_plan.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lockstep::train {
namespace {

// Three digits are enough to plan by.
std::string Mib(int64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib >= 100 ? absl::StrFormat("%.0f", mib) : absl::StrFormat("%.3g", mib);
}

}  // namespace

std::string DescribeMemory(const RankMemory& memory) {
  std::string text =
      absl::StrCat("memory of a rank: ", Mib(memory.total()), " MiB = parameters ", Mib(memory.parameters),
                   " + gradients ", Mib(memory.gradients()), " (", memory.gradient_buffers,
                   memory.gradient_buffers == 1 ? " buffer)" : " buffers)");
  if (memory.sharded) {
    absl::StrAppend(&text, " + optimizer ", Mib(memory.optimizer), " of ", Mib(memory.whole_optimizer),
                    memory.mirrored ? " (sharded, mirrored)" : " (sharded)");
  } else if (memory.optimizer > 0) {
    absl::StrAppend(&text, " + optimizer ", Mib(memory.optimizer));
  }
  if (memory.average > 0) absl::StrAppend(&text, " + moving average ", Mib(memory.average));
  if (memory.unsent > 0) absl::StrAppend(&text, " + compression ", Mib(memory.unsent));
  absl::StrAppend(&text, " + activations ", Mib(memory.activations * memory.threads));
  if (memory.threads > 1) absl::StrAppend(&text, " (", memory.threads, " threads)");
  return text;
}

}  // namespace lockstep::train

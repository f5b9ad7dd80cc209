// What a fuzz target is made of.
//
// A target is one file <name>_fuzz.cc, which defines LLVMFuzzerTestOneInput and FuzzSeeds. It becomes a program
// by libFuzzer (preset fuzz, with clang) or by driver_main.cc (any compiler). Both know these arguments:
//
//   TARGET [-runs=N] [-max_total_time=SECONDS] [FOLDER...]   inputs made from the seeds and those in the folders
//   TARGET FILE...                                           these inputs only, to repeat a failure
//   TARGET -write_seeds=FOLDER                               writes the seeds there and ends
#ifndef LOCKSTEP_TESTS_FUZZ_FUZZ_TARGET_H_
#define LOCKSTEP_TESTS_FUZZ_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"

// Does with the input what the program would do with bytes from anywhere. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lockstep::testing {

// Defined by the target: inputs to begin with, most of them well formed.
std::vector<std::string> FuzzSeeds();

// The input as text.
inline absl::string_view FuzzText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Ends the program and prints `rule` and `detail` unless `holds`.
void Require(bool holds, std::string_view rule, std::string_view detail = "");

// The target calls it for an input that was accepted, or came as far as it can. A run that saw none fails: it
// would have tested the first check only.
void NoteReached();
int64_t ReachedCount();

// One file for each seed; ends the program when that fails.
void WriteFuzzSeeds(const std::string& folder);

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FUZZ_FUZZ_TARGET_H_

#include "tests/fuzz/fuzz_target.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lockstep::testing {
namespace {

// Of the process, since the interface of a target is a function without an object.
int64_t reached = 0;

}  // namespace

void Require(bool holds, std::string_view rule, std::string_view detail) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: broken rule: %.*s\n%.*s\n", static_cast<int>(rule.size()), rule.data(),
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

void NoteReached() { ++reached; }
int64_t ReachedCount() { return reached; }

void WriteFuzzSeeds(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  int number = 0;
  for (const std::string& seed : FuzzSeeds()) {
    std::ofstream file(folder + "/seed-" + std::to_string(number++), std::ios::binary);
    file << seed;
    file.close();
    Require(!file.fail(), "the seeds can be written", folder);
  }
}

}  // namespace lockstep::testing

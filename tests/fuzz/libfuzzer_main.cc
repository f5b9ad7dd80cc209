// What a target adds to libFuzzer: the argument -write_seeds, and the look at what was reached.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kWriteSeeds = "-write_seeds=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (argument.substr(0, kWriteSeeds.size()) != kWriteSeeds) continue;
    lockstep::testing::WriteFuzzSeeds(std::string(argument.substr(kWriteSeeds.size())));
    std::exit(0);
  }
  std::atexit([] {
    std::fprintf(stderr, "fuzz: %lld inputs came all the way\n",
                 static_cast<long long>(lockstep::testing::ReachedCount()));
  });
  return 0;
}

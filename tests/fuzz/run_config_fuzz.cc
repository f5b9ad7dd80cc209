// Run configurations from anywhere: refused with exit code 2, or understood, and then the same after writing.
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/train/config.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {

std::vector<std::string> FuzzSeeds() {
  std::vector<std::string> texts;
  for (const char* name :
       {"digits_mlp", "digits_cnn", "text_gpt", "own_model", "penguins", "bench/resnet18"}) {
    const auto text = ReadWholeFile(RealFileSystem(),
                                    std::string(LOCKSTEP_SOURCE_DIR) + "/examples/" + name + ".textproto");
    Require(text.ok() && train::ParseConfig(*text, name).ok(), "the examples are right", name);
    texts.push_back(*text);
  }
  return texts;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  using namespace lockstep::train;
  using testing::Require;
  const auto config = ParseConfig(std::string(testing::FuzzText(data, size)), "input");
  const absl::Status status = config.ok() ? ValidateConfig(*config, 2) : config.status();
  if (!status.ok()) {
    Require(ExitCodeOf(status) == 2, "a bad configuration is exit code 2", status.ToString());
    return 0;
  }
  const RunConfig resolved = ResolveConfig(*config);
  const std::string text = ConfigText(resolved);
  Require(ConfigText(ResolveConfig(resolved)) == text, "what is resolved stays as it is", text);
  const auto again = ParseConfig(text, "resolved");
  Require(again.ok(), "what is resolved can be read", again.status().ToString() + "\n" + text);
  Require(RecipeHash(*again) == RecipeHash(*config), "what is resolved is the same recipe", text);
  testing::NoteReached();
  return 0;
}

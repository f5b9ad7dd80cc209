// --set arguments from anywhere: refused with exit code 2, or applied.
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/train/config.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {
namespace {

const RunConfig& Example() {
  static const auto* const config = new RunConfig(*train::ParseConfig(
      *ReadWholeFile(RealFileSystem(), std::string(LOCKSTEP_SOURCE_DIR) + "/examples/digits_cnn.textproto"),
      "example"));
  return *config;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {"lanes=16",
          "model.layers.layer[0].repeat.times=3",
          "optimizer={sgd {lr: 0.1}}",
          "data.train=a*.tfrecord",
          "execution.checkpoint.every_steps=10",
          "model.mlp.hidden=[256, 128]"};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  RunConfig config = testing::Example();
  const absl::Status status = train::ApplySetting(&config, std::string(testing::FuzzText(data, size)));
  if (status.ok()) {
    testing::NoteReached();
  } else {
    testing::Require(ExitCodeOf(status) == 2, "a bad setting is exit code 2", status.ToString());
  }
  return 0;
}

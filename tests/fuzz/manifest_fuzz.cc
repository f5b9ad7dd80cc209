// Checkpoint manifests from anywhere: refused by name, or read, and then the same after writing and reading.
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "runtime/core/hash.h"
#include "runtime/train/manifest.h"
#include "tests/fuzz/fuzz_target.h"

namespace lockstep::testing {

std::vector<std::string> FuzzSeeds() {
  using namespace train;
  Manifest manifest;
  manifest.step = 100;
  manifest.position = 6400;
  manifest.recipe_text = "lanes: 8\nseed: 1\n";
  manifest.counters["skipped"] = int64_t{3};
  manifest.counters["best"] = 0.975;
  manifest.counters["note"] = std::string("a\0b\"\xff", 5);
  manifest.metrics["loss"] = 0.25;
  manifest.files = {{"weights.safetensors", 4096, 0x12345678}};
  manifest.tensors = {{"fc.weight", TensorRole::kParameter, DType::kF32, {32, 64}, "weights.safetensors", 7},
                      {"scale", TensorRole::kEma, DType::kF32, {}, "weights.safetensors", 8}};
  return {SerializeManifest(manifest), ""};
}

namespace {

constexpr char kCheckPrefix[] = "# crc32c of all bytes above: ";

// The last line made right, so that what stands above it is looked at.
std::string WithRightChecksum(const std::string& input) {
  const std::string body = input.substr(0, input.rfind(kCheckPrefix));
  return absl::StrFormat("%s%s%08x\n", body, kCheckPrefix, Crc32c(0, body.data(), body.size()));
}

// Whether it was accepted.
bool Check(const std::string& input) {
  const auto manifest = train::ParseManifest(input, "input");
  if (!manifest.ok()) {
    const std::string error = manifest.status().ToString();
    Require(error.find("input") != std::string::npos, "the error names the file", error);
    return false;
  }
  const std::string text = SerializeManifest(*manifest);
  const auto again = train::ParseManifest(text, "again");
  Require(again.ok(), "a manifest that was read can be written and read", again.status().ToString());
  Require(SerializeManifest(*again) == text, "a manifest that was read and written stays the same", text);
  return true;
}

}  // namespace

void CheckManifest(const std::string& input) {
  Check(input);
  if (Check(WithRightChecksum(input))) NoteReached();
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lockstep::testing::CheckManifest(std::string(lockstep::testing::FuzzText(data, size)));
  return 0;
}

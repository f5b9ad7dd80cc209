// Safetensors files from anywhere: refused, or tensors that lie inside of the bytes.
#include <string>
#include <vector>

#include "runtime/core/file_system.h"
#include "runtime/train/safetensors.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::testing {

std::vector<std::string> FuzzSeeds() {
  MemoryFileSystem disk;
  std::vector<float> weight(12, 0.5f), bias(3, 1.0f);
  std::vector<train::NamedTensor> tensors(2);
  tensors[0].name = "fc.weight";
  tensors[0].shape = {3, 4};
  tensors[0].data = weight.data();
  tensors[1].name = "fc.bias";
  tensors[1].shape = {3};
  tensors[1].data = bias.data();
  auto file = disk.Create("w");
  Require(file.ok() && WriteSafetensors(file->get(), tensors, {{"format", "lockstep"}}).ok() &&
              (*file)->Close().ok(),
          "tensors can be written");
  return {*ReadWholeFile(&disk, "w")};
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lockstep;
  using testing::Require;
  const absl::string_view input = testing::FuzzText(data, size);
  const auto view = train::ParseSafetensors(input, "input");
  if (!view.ok()) {
    Require(TroubleOf(view.status()) == Trouble::kData, "a bad file is an error of the data",
            view.status().ToString());
    return 0;
  }
  for (const train::NamedTensor& tensor : view->tensors) {
    const auto* bytes = static_cast<const char*>(tensor.data);
    if (tensor.size_bytes() == 0) continue;
    Require(bytes >= input.data() && tensor.size_bytes() <= input.size() &&
                bytes - input.data() <= static_cast<ptrdiff_t>(input.size() - tensor.size_bytes()),
            "a tensor lies inside of the bytes", tensor.name);
  }
  testing::NoteReached();
  return 0;
}

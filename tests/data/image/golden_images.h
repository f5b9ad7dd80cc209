// The pictures of scripts/golden/make_images.py.
#ifndef LOCKSTEP_TESTS_DATA_IMAGE_GOLDEN_IMAGES_H_
#define LOCKSTEP_TESTS_DATA_IMAGE_GOLDEN_IMAGES_H_

#include <string>
#include <vector>

#include "tests/testing/golden_file.h"

namespace lockstep::data {

inline const testing::GoldenFile& GoldenImages() {
  static const testing::GoldenFile* const file =
      new testing::GoldenFile(*testing::ReadGoldenFile(LOCKSTEP_SOURCE_DIR, "images"));
  return *file;
}

// The bytes of the file `name`: "jpeg_420".
inline std::string GoldenPicture(const std::string& name) {
  const std::vector<std::byte>& bytes = GoldenImages().At("file/" + name).bytes;
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

inline std::vector<std::string> GoldenPictureNames() {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : GoldenImages().tensors) {
    if (name.compare(0, 5, "file/") == 0) names.push_back(name.substr(5));
  }
  return names;
}

}  // namespace lockstep::data

#endif  // LOCKSTEP_TESTS_DATA_IMAGE_GOLDEN_IMAGES_H_

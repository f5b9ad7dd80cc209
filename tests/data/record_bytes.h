// Small record files and records for tests.
#ifndef LOCKSTEP_TESTS_DATA_RECORD_BYTES_H_
#define LOCKSTEP_TESTS_DATA_RECORD_BYTES_H_

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/example.pb.h"
#include "runtime/core/file_system.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {

// A whole record file.
inline std::string FileOf(const std::vector<std::string>& payloads) {
  std::string bytes;
  for (const std::string& payload : payloads) bytes += FrameRecord(payload);
  return bytes;
}

inline void Put(FileSystem* fs, const std::string& path, const std::string& bytes) {
  ASSERT_TRUE(WriteFileAtomically(fs, path, bytes).ok());
}

// Small verbs to write an Example with.
class ExampleMaker {
 public:
  ExampleMaker& Bytes(const std::string& name, const std::string& value) {
    Of(name).mutable_bytes_list()->add_value(value);
    return *this;
  }
  ExampleMaker& Ints(const std::string& name, const std::vector<int64_t>& values) {
    Of(name).mutable_int64_list()->mutable_value()->Assign(values.begin(), values.end());
    return *this;
  }
  ExampleMaker& Floats(const std::string& name, const std::vector<float>& values) {
    Of(name).mutable_float_list()->mutable_value()->Assign(values.begin(), values.end());
    return *this;
  }
  std::string Serialize() const { return example_.SerializeAsString(); }
  const records::Example& example() const { return example_; }

 private:
  records::Feature& Of(const std::string& name) {
    return (*example_.mutable_features()->mutable_feature())[name];
  }
  records::Example example_;
};

}  // namespace lockstep::data

#endif  // LOCKSTEP_TESTS_DATA_RECORD_BYTES_H_

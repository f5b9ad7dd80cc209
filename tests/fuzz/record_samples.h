// Small record files to begin with.
#ifndef LOCKSTEP_TESTS_FUZZ_RECORD_SAMPLES_H_
#define LOCKSTEP_TESTS_FUZZ_RECORD_SAMPLES_H_

#include <string>

#include "runtime/data/record_writer.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/testing/memory_file_system.h"

namespace lockstep::testing {

inline std::string SampleRecordFile(data::Compression compression) {
  MemoryFileSystem disk;
  auto writer = data::RecordWriter::Create(&disk, "f", {.compression = compression});
  Require(writer.ok(), "records can be written");
  for (const std::string record : {"zero", "", "the third, the third, the third"})
    Require((*writer)->Write(record).ok(), "records can be written");
  Require((*writer)->Close().ok(), "records can be written");
  return *ReadWholeFile(&disk, "f");
}

}  // namespace lockstep::testing

#endif  // LOCKSTEP_TESTS_FUZZ_RECORD_SAMPLES_H_

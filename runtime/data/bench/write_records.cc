// Writes a record file for benchmarks: records of random bytes `image` and an integer `label`.
//   write_records FILE PAYLOAD_BYTES COUNT
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "proto/example.pb.h"
#include "runtime/core/rng.h"
#include "runtime/data/record_writer.h"

namespace lockstep::data {
namespace {

absl::Status Write(const std::string& path, size_t payload_bytes, int64_t count) {
  ASSIGN_OR_RETURN(const auto writer, RecordWriter::Create(RealFileSystem(), path));
  uint64_t state = 1;
  std::string payload(payload_bytes, '\0');
  for (int64_t i = 0; i < count; ++i) {
    for (size_t at = 0; at < payload_bytes; at += sizeof state) {
      state = Mix64(state + at);
      std::memcpy(payload.data() + at, &state, std::min(sizeof state, payload_bytes - at));
    }
    records::Example example;
    auto& features = *example.mutable_features()->mutable_feature();
    features["image"].mutable_bytes_list()->add_value(payload);
    features["label"].mutable_int64_list()->add_value(i % 10);
    RETURN_IF_ERROR(writer->Write(example.SerializeAsString()));
  }
  return writer->Close();
}

}  // namespace
}  // namespace lockstep::data

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: write_records FILE PAYLOAD_BYTES COUNT\n");
    return 2;
  }
  const absl::Status written =
      lockstep::data::Write(argv[1], std::strtoull(argv[2], nullptr, 10), std::atoll(argv[3]));
  if (!written.ok()) std::fprintf(stderr, "%s\n", std::string(written.message()).c_str());
  return written.ok() ? 0 : 1;
}

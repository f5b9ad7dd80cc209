#include "runtime/train/compression/compression_state.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/optimizer.h"
#include "runtime/core/thread.h"
#include "runtime/train/agreement.h"

namespace lockstep::train {
namespace {

constexpr char kErrorPrefix[] = "compression.error.";

std::string ErrorName(int rank, const std::string& parameter) {
  return absl::StrCat(kErrorPrefix, rank, ".", parameter);
}

// A tensor of a checkpoint that is one rank's error memory of one parameter.
struct StoredError {
  int64_t rank = 0;
  const NamedTensor* tensor = nullptr;
};

// What of a checkpoint is compression's. Ranks are only compared, so that no number in a file makes memory.
struct Stored {
  std::map<std::string, std::vector<StoredError>> errors;  // by parameter, in the order of ranks
  std::map<std::string, const NamedTensor*> shared;        // by name, without the prefix
  int64_t ranks = 0;
};

absl::StatusOr<Stored> FindStored(const LoadedCheckpoint& checkpoint) {
  Stored stored;
  for (const NamedTensor& tensor : checkpoint.tensors().optimizer) {
    absl::string_view name = tensor.name;
    if (!absl::ConsumePrefix(&name, kCompressionPrefix)) continue;
    if (!absl::StartsWith(tensor.name, kErrorPrefix)) {
      stored.shared[std::string(name)] = &tensor;
      continue;
    }
    name = absl::string_view(tensor.name).substr(sizeof kErrorPrefix - 1);
    const size_t dot = name.find('.');
    int32_t rank = -1;
    if (dot == name.npos || !absl::SimpleAtoi(name.substr(0, dot), &rank) || rank < 0) {
      return CheckpointError(
          absl::StrCat(checkpoint.Describe(), ": '", tensor.name, "' does not name a rank's error memory"));
    }
    stored.errors[std::string(name.substr(dot + 1))].push_back({rank, &tensor});
    stored.ranks = std::max<int64_t>(stored.ranks, rank + 1);
  }
  for (auto& [parameter, errors] : stored.errors) {
    std::sort(errors.begin(), errors.end(), [](auto& a, auto& b) { return a.rank < b.rank; });
  }
  return stored;
}

// The error memories of this run's ranks, one after another, out of the stored ones. Counts tensors used.
absl::Status Redistribute(const LoadedCheckpoint& checkpoint, const Stored& stored, int ranks,
                          const GradientParts& parts, float* memories, size_t* used) {
  const LaneArithmetic modes;
  for (const GradientMatrix& matrix : parts.matrices) {
    const auto found = stored.errors.find(matrix.name);
    if (found == stored.errors.end()) continue;
    for (const StoredError& error : found->second) {
      if (error.tensor->dtype != DType::kF32 || error.tensor->shape != matrix.shape) {
        return CheckpointError(absl::StrCat(checkpoint.Describe(), ": '", error.tensor->name, "' is ",
                                            NameOf(error.tensor->dtype), " ", error.tensor->shape.ToString(),
                                            ", not F32 ", matrix.shape.ToString()));
      }
      const int64_t to = error.rank * ranks / stored.ranks;
      float* const memory = memories + to * parts.matrix_elements + matrix.memory_offset;
      // Memory of a file may lie anywhere, but safetensors aligns floats (and the loader checks it).
      kernels::AddInto(
          {static_cast<const float*>(error.tensor->data), static_cast<size_t>(matrix.elements())},
          absl::MakeSpan(memory, matrix.elements()));
      ++*used;
    }
  }
  return absl::OkStatus();
}

void RestoreShared(const Stored& stored, const Compressor& compressor, size_t* restored) {
  for (const NamedBuffer& buffer : compressor.SharedState()) {
    const auto found = stored.shared.find(buffer.name);
    if (found == stored.shared.end()) continue;
    if (found->second->dtype != buffer.dtype || found->second->shape != buffer.shape) continue;
    if (buffer.size_bytes() > 0) std::memcpy(buffer.data, found->second->data, buffer.size_bytes());
    ++*restored;
  }
}

// What the log says when the state was not restored as it was. `used` and `shared`: tensors that found a
// place.
void Report(const Stored& stored, int ranks, size_t used, size_t shared, const Compressor& compressor,
            Logger* log) {
  size_t errors = 0;
  for (const auto& [parameter, list] : stored.errors) errors += list.size();
  const size_t matrices = compressor.parts().matrices.size();
  if (errors == 0 && matrices > 0) {
    log->Warning("compression: the checkpoint has no error memory; it begins empty");
  } else if (stored.ranks != ranks) {
    log->Warning(absl::StrCat("compression: the checkpoint holds the error memories of ", stored.ranks,
                              " ranks, this run has ", ranks,
                              ": each goes to the rank in its place, and those that meet are added. Nothing "
                              "unsent is lost, but the "
                              "weights will not be those of ",
                              stored.ranks, " ranks"));
  }
  const size_t expected_shared = compressor.SharedState().size();
  if (errors > 0 && (used < errors || used < matrices * stored.ranks || shared < expected_shared ||
                     shared < stored.shared.size())) {
    log->Warning(absl::StrCat("compression: another method or rank than the checkpoint's: ", used, " of its ",
                              errors, " error memories are taken over, ", expected_shared - shared, " of ",
                              expected_shared, " factors begin anew"));
  }
}

}  // namespace

absl::Status AppendCompressionState(comm::Communicator& communicator, const Compressor& compressor,
                                    AlignedBuffer<float>* gathered, std::vector<NamedTensor>* out) {
  const GradientParts& parts = compressor.parts();
  const bool writes = communicator.rank() == 0;
  const size_t all = static_cast<size_t>(parts.matrix_elements) * communicator.size();
  if (writes && gathered->size() != all) *gathered = AlignedBuffer<float>(all);
  if (parts.matrix_elements > 0) {
    RETURN_IF_ERROR(communicator.Gather(comm::BufferOf(compressor.memory()), comm::BufferOf(gathered->span()),
                                        /*root=*/0));
  }
  if (!writes) return absl::OkStatus();
  for (int rank = 0; rank < communicator.size(); ++rank) {
    const float* const memory = gathered->data() + rank * parts.matrix_elements;
    for (const GradientMatrix& matrix : parts.matrices) {
      out->push_back(
          {ErrorName(rank, matrix.name), DType::kF32, matrix.shape, memory + matrix.memory_offset});
    }
  }
  for (const NamedBuffer& buffer : compressor.SharedState()) {
    out->push_back({absl::StrCat(kCompressionPrefix, buffer.name), buffer.dtype, buffer.shape, buffer.data});
  }
  return absl::OkStatus();
}

absl::Status RestoreCompressionState(comm::Communicator& communicator, const LoadedCheckpoint* checkpoint,
                                     const Compressor& compressor, Logger* log) {
  const auto resumes = BroadcastText(communicator, checkpoint != nullptr ? "resumes" : "");
  RETURN_IF_ERROR(resumes.status());
  if (resumes->empty()) return absl::OkStatus();
  const GradientParts& parts = compressor.parts();
  AlignedBuffer<float> memories;
  absl::Status status;
  if (communicator.rank() == 0) {
    memories = AlignedBuffer<float>(static_cast<size_t>(parts.matrix_elements) * communicator.size());
    status = [&]() -> absl::Status {
      ASSIGN_OR_RETURN(const Stored stored, FindStored(*checkpoint));
      size_t used = 0, shared = 0;
      RETURN_IF_ERROR(Redistribute(*checkpoint, stored, communicator.size(), parts, memories.data(), &used));
      RestoreShared(stored, compressor, &shared);
      Report(stored, communicator.size(), used, shared, compressor, log);
      return absl::OkStatus();
    }();
  }
  RETURN_IF_ERROR(AgreeOnStatus(communicator, status));
  if (parts.matrix_elements > 0) {
    RETURN_IF_ERROR(communicator.Scatter(comm::BufferOf(memories.span()), comm::BufferOf(compressor.memory()),
                                         /*root=*/0));
  }
  return BroadcastTensors(communicator, compressor.SharedState());
}

}  // namespace lockstep::train

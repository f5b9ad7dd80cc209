#include "runtime/train/checkpoint_parts.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "runtime/core/hash.h"
#include "runtime/train/json_line.h"

namespace lockstep::train {
namespace {

constexpr char kTensorSuffix[] = ".safetensors";
constexpr char kIndexSuffix[] = ".safetensors.index.json";
constexpr absl::string_view kKinds[] = {"model", "optimizer"};

// "00002-of-00004"
std::string CountText(int index, int count) { return absl::StrFormat("%05d-of-%05d", index + 1, count); }

// Whether `text` is "00002-of-00004".
bool IsCountText(absl::string_view text) {
  if (text.size() != 14 || text.substr(5, 4) != "-of-") return false;
  for (const size_t at : {0, 1, 2, 3, 4, 9, 10, 11, 12, 13}) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(text[at]))) return false;
  }
  return true;
}

struct Entry {
  PartTensor tensor;
  int kind = 0;  // of kKinds
};

std::vector<Entry> EntriesOf(const TrainTensors& tensors) {
  std::vector<Entry> entries;
  const auto add = [&](const std::vector<NamedTensor>& list, TensorRole role, int kind, const char* prefix) {
    for (NamedTensor tensor : list) {
      tensor.name = absl::StrCat(prefix, tensor.name);
      entries.push_back({{std::move(tensor), role}, kind});
    }
  };
  add(tensors.parameters, TensorRole::kParameter, 0, "");
  add(tensors.buffers, TensorRole::kBuffer, 0, "");
  add(tensors.optimizer, TensorRole::kOptimizer, 1, "");
  add(tensors.ema, TensorRole::kEma, 1, kEmaPrefix);
  return entries;
}

// The shard of each entry.
std::vector<int> Balance(const std::vector<Entry>& entries, int shards) {
  std::vector<size_t> order(entries.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto bytes = [&](size_t i) { return entries[i].tensor.tensor.size_bytes(); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes(a) > bytes(b); });
  std::vector<uint64_t> loads(static_cast<size_t>(shards));
  std::vector<int> shard_of(entries.size());
  for (const size_t i : order) {
    const auto lightest = std::min_element(loads.begin(), loads.end());  // the first of equals
    *lightest += bytes(i);
    shard_of[i] = static_cast<int>(lightest - loads.begin());
  }
  return shard_of;
}

// One safetensors file or index, durable but for its name.
absl::Status WriteDurably(FileSystem* fs, const std::string& path,
                          const std::function<absl::Status(WritableFile*)>& write) {
  ASSIGN_OR_RETURN(auto file, fs->Create(path));
  RETURN_IF_ERROR(write(file.get()));
  RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

}  // namespace

std::vector<CheckpointPart> DivideState(const TrainTensors& tensors, int shards) {
  const std::vector<Entry> entries = EntriesOf(tensors);
  const std::vector<int> shard_of = Balance(entries, shards);
  std::vector<CheckpointPart> parts;
  for (int kind = 0; kind < 2; ++kind) {
    std::vector<CheckpointPart> of_kind;
    for (int shard = 0; shard < shards; ++shard) {
      CheckpointPart part;
      part.shard = shard;
      for (size_t i = 0; i < entries.size(); ++i) {
        if (entries[i].kind == kind && shard_of[i] == shard) part.tensors.push_back(entries[i].tensor);
      }
      if (shards == 1 || !part.tensors.empty()) of_kind.push_back(std::move(part));
    }
    const int count = static_cast<int>(of_kind.size());
    for (int i = 0; i < count; ++i) {
      of_kind[i].name =
          absl::StrCat(kKinds[kind], count == 1 ? "" : absl::StrCat("-", CountText(i, count)), kTensorSuffix);
      parts.push_back(std::move(of_kind[i]));
    }
  }
  return parts;
}

int ShardsFor(uint64_t state_bytes, int64_t shard_bytes, int ranks) {
  if (shard_bytes <= 0) return 1;
  const uint64_t wanted = state_bytes / static_cast<uint64_t>(shard_bytes);
  return static_cast<int>(std::clamp<uint64_t>(wanted, 1, static_cast<uint64_t>(ranks)));
}

int ShardOfRank(int rank, int ranks, int shards) {
  // Shard s is rank floor(s ranks / shards)'s.
  const int64_t shard = (int64_t{rank} * shards + ranks - 1) / ranks;
  return shard < shards && shard * ranks / shards == rank ? static_cast<int>(shard) : -1;
}

absl::Status WritePart(FileSystem* fs, const std::string& folder, const CheckpointPart& part,
                       Manifest* manifest) {
  // "format" is what Hugging Face's loaders look for.
  SafetensorsMetadata metadata = {{"format", "pt"}, {kStepMetadata, std::to_string(manifest->step)}};
  if (!manifest->save_id.empty()) metadata[kSaveMetadata] = manifest->save_id;
  std::vector<NamedTensor> tensors;
  for (const PartTensor& entry : part.tensors) tensors.push_back(entry.tensor);
  SafetensorsDigest digest;
  RETURN_IF_ERROR(WriteDurably(fs, JoinPath(folder, part.name), [&](WritableFile* file) -> absl::Status {
    ASSIGN_OR_RETURN(digest, WriteSafetensors(file, tensors, metadata));
    return absl::OkStatus();
  }));
  manifest->files.push_back({part.name, digest.size_bytes, digest.header_crc32c});
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedTensor& tensor = tensors[i];
    manifest->tensors.push_back(
        {tensor.name, part.tensors[i].role, tensor.dtype, tensor.shape, part.name, digest.crc32c[i]});
  }
  return absl::OkStatus();
}

absl::Status WriteIndexes(FileSystem* fs, const std::string& folder, Manifest* manifest) {
  for (const absl::string_view kind : kKinds) {
    std::map<std::string, std::string> file_of;
    uint64_t total_bytes = 0;
    for (const ManifestTensor& tensor : manifest->tensors) {
      if (!absl::StartsWith(tensor.file, absl::StrCat(kind, "-"))) continue;
      file_of[tensor.name] = tensor.file;
      total_bytes += static_cast<uint64_t>(tensor.shape.NumElements()) * SizeOf(tensor.dtype);
    }
    if (file_of.empty()) continue;
    JsonLine metadata, weights, index;
    metadata.Integer("total_size", static_cast<int64_t>(total_bytes));
    for (const auto& [tensor, file] : file_of) weights.String(tensor, file);
    const std::string text =
        absl::StrCat(index.Object("metadata", metadata).Object("weight_map", weights).Text(), "\n");
    const std::string name = absl::StrCat(kind, kIndexSuffix);
    RETURN_IF_ERROR(WriteDurably(fs, JoinPath(folder, name),
                                 [&](WritableFile* file) -> absl::Status { return file->Append(text); }));
    manifest->files.push_back({name, text.size(), Crc32c(0, text.data(), text.size())});
  }
  return absl::OkStatus();
}

bool IsIndexName(absl::string_view name) {
  return absl::ConsumeSuffix(&name, kIndexSuffix) && (name == kKinds[0] || name == kKinds[1]);
}

bool IsTensorFileName(absl::string_view name) {
  if (!absl::ConsumeSuffix(&name, kTensorSuffix)) return false;
  for (absl::string_view kind : kKinds) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, kind)) continue;
    return rest.empty() || (absl::ConsumePrefix(&rest, "-") && IsCountText(rest));
  }
  return false;
}

bool IsCheckpointFileName(absl::string_view name) {
  if (name == kManifestName || IsIndexName(name) || IsTensorFileName(name)) return true;
  absl::string_view rest = name;
  absl::ConsumeSuffix(&rest, ".tmp");
  return absl::ConsumePrefix(&rest, "shard-") && rest.size() > 14 && IsCountText(rest.substr(0, 14)) &&
         (rest.substr(14) == ".done" || rest.substr(14) == ".failed");
}

std::string ShardName(int shard, int shards) { return absl::StrCat("shard-", CountText(shard, shards)); }

}  // namespace lockstep::train

#include "runtime/core/dtype.h"

namespace lockstep {
namespace {

struct Entry {
  DType dtype;
  size_t size_bytes;
  const char* name;
};

constexpr Entry kTable[] = {
    {DType::kU8, 1, "U8"},   {DType::kI8, 1, "I8"},   {DType::kI32, 4, "I32"}, {DType::kU32, 4, "U32"},
    {DType::kI64, 8, "I64"}, {DType::kU64, 8, "U64"}, {DType::kF16, 2, "F16"}, {DType::kBF16, 2, "BF16"},
    {DType::kF32, 4, "F32"}, {DType::kF64, 8, "F64"},
};

}  // namespace

size_t SizeOf(DType dtype) { return kTable[static_cast<int>(dtype)].size_bytes; }

absl::string_view NameOf(DType dtype) { return kTable[static_cast<int>(dtype)].name; }

absl::StatusOr<DType> DTypeFromName(absl::string_view name) {
  std::string known;
  for (const Entry& entry : kTable) {
    if (name == entry.name) return entry.dtype;
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown element type '", name, "'; known: ", known));
}

}  // namespace lockstep

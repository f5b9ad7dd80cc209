#include "tests/testing/golden_file.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "runtime/core/shape.h"

namespace lockstep::testing {
namespace {

using Json = nlohmann::json;

template <typename From, typename To>
void Convert(const std::vector<std::byte>& bytes, std::vector<To>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = static_cast<To>(value);
  }
}

template <typename To>
std::vector<To> As(const GoldenTensor& tensor) {
  std::vector<To> out(static_cast<size_t>(tensor.type.shape.NumElements()));
  switch (tensor.type.dtype) {
    case DType::kF32:
      Convert<float>(tensor.bytes, out);
      break;
    case DType::kI64:
      Convert<int64_t>(tensor.bytes, out);
      break;
    case DType::kU8:
      Convert<uint8_t>(tensor.bytes, out);
      break;
    default:
      std::cerr << "a golden tensor of dtype " << std::string(NameOf(tensor.type.dtype)) << "\n";
      std::abort();
  }
  return out;
}

absl::StatusOr<GoldenTensor> ParseTensor(const Json& entry, const std::string& data) {
  GoldenTensor tensor;
  ASSIGN_OR_RETURN(tensor.type.dtype, DTypeFromName(entry.at("dtype").get<std::string>()));
  ASSIGN_OR_RETURN(tensor.type.shape, Shape::FromDims(entry.at("shape").get<std::vector<int64_t>>()));
  const size_t begin = entry.at("data_offsets").at(0), end = entry.at("data_offsets").at(1);
  const size_t want = static_cast<size_t>(tensor.type.shape.NumElements()) * SizeOf(tensor.type.dtype);
  if (begin > end || end > data.size() || end - begin != want) {
    return DataError(absl::StrCat("offsets ", begin, "..", end, " do not fit ", want, " bytes of shape ",
                                  tensor.type.shape.ToString()));
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(data.data());
  tensor.bytes.assign(bytes + begin, bytes + end);
  return tensor;
}

absl::StatusOr<GoldenFile> Parse(const Json& header, const std::string& data) {
  GoldenFile file;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    auto tensor = ParseTensor(entry, data);
    if (!tensor.ok()) return Annotate(tensor.status(), name);
    file.tensors[name] = *std::move(tensor);
  }
  const Json cases = Json::parse(header.at("__metadata__").at("cases").get<std::string>());
  for (const Json& entry : cases) {
    file.cases.push_back({entry.at("name"), entry.at("op"), entry.at("attributes"), entry.at("inputs"),
                          entry.at("gradients"), entry.at("outputs")});
  }
  return file;
}

}  // namespace

std::vector<float> GoldenTensor::Values() const { return As<float>(*this); }
std::vector<int64_t> GoldenTensor::Integers() const { return As<int64_t>(*this); }

const GoldenTensor& GoldenFile::At(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    std::cerr << "no golden tensor " << name << "\n";
    std::abort();
  }
  return found->second;
}

absl::StatusOr<GoldenFile> ReadGoldenFile(const std::string& source_dir, const std::string& name) {
  const std::string path = absl::StrCat(source_dir, "/tests/testing/golden/", name, ".safetensors");
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) return DataError(absl::StrCat(path, ": missing or too short"));
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > bytes.size() - sizeof(header_bytes)) {
    return DataError(absl::StrCat(path, ": the header claims ", header_bytes, " bytes"));
  }
  try {
    auto file = Parse(Json::parse(bytes.substr(sizeof(header_bytes), header_bytes)),
                      bytes.substr(sizeof(header_bytes) + header_bytes));
    return file.ok() ? std::move(file) : absl::StatusOr<GoldenFile>(Annotate(file.status(), path));
  } catch (const Json::exception& error) {
    return DataError(absl::StrCat(path, ": ", error.what()));
  }
}

std::string Differs(const std::vector<float>& got, const std::vector<float>& want, double tolerance,
                    double smallest_scale) {
  if (got.size() != want.size()) return absl::StrCat(got.size(), " elements instead of ", want.size());
  double squares = 0;
  for (float w : want) squares += static_cast<double>(w) * w;
  const double mean = want.empty() ? 0 : squares / static_cast<double>(want.size());
  const double scale = std::max(std::sqrt(mean), smallest_scale);
  double worst = 0;
  size_t where = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    double error = std::abs(static_cast<double>(got[i]) - want[i]) / (scale + std::abs(want[i]));
    if (std::isnan(error)) error = HUGE_VAL;
    if (error > worst) worst = error, where = i;
  }
  if (worst <= tolerance) return "";
  return absl::StrCat("element ", where, " of ", want.size(), " is ", got[where], " instead of ", want[where],
                      " (", worst, " of its size; allowed ", tolerance, ")");
}

}  // namespace lockstep::testing

#include "runtime/data/npy.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "runtime/data/zip.h"

namespace lockstep::data {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMostHeaderBytes = size_t{1} << 20, kMostDimensions = 32;

// Takes a Python literal of the header apart: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class Literal {
 public:
  explicit Literal(absl::string_view text) : text_(text) {}

  bool Take(char c) {
    SkipBlanks();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::optional<std::string> TakeString() {
    SkipBlanks();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) return std::nullopt;
    const size_t end = text_.find(text_[0], 1);
    if (end == absl::string_view::npos) return std::nullopt;
    const std::string value(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return value;
  }
  bool TakeWord(absl::string_view word) {
    SkipBlanks();
    return absl::ConsumePrefix(&text_, word);
  }
  std::optional<int64_t> TakeNumber() {
    SkipBlanks();
    size_t digits = 0;
    while (digits < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[digits]))) ++digits;
    int64_t value = 0;
    if (digits == 0 || !absl::SimpleAtoi(text_.substr(0, digits), &value)) return std::nullopt;
    text_.remove_prefix(digits);
    TakeWord("L");  // as Python 2 wrote long integers
    return value;
  }
  bool AtEnd() {
    SkipBlanks();
    return text_.empty();
  }

 private:
  void SkipBlanks() { text_ = absl::StripLeadingAsciiWhitespace(text_); }
  absl::string_view text_;
};

struct Header {
  std::optional<std::string> type;
  std::optional<bool> fortran;
  std::optional<std::vector<int64_t>> shape;
};

bool TakeShape(Literal* literal, std::vector<int64_t>* shape) {
  if (!literal->Take('(')) return false;
  while (!literal->Take(')')) {
    const auto dimension = literal->TakeNumber();
    if (!dimension.has_value() || shape->size() >= kMostDimensions) return false;
    shape->push_back(*dimension);
    if (!literal->Take(',')) return literal->Take(')');
  }
  return true;
}

bool TakeField(Literal* literal, Header* header) {
  const auto name = literal->TakeString();
  if (!name.has_value() || !literal->Take(':')) return false;
  if (*name == "descr") {
    header->type = literal->TakeString();
    return header->type.has_value();
  }
  if (*name == "fortran_order") {
    header->fortran = literal->TakeWord("True");
    return *header->fortran || literal->TakeWord("False");
  }
  if (*name != "shape") return false;
  header->shape.emplace();
  return TakeShape(literal, &*header->shape);
}

std::optional<Header> ParseHeader(absl::string_view text) {
  Literal literal(text);
  Header header;
  if (!literal.Take('{')) return std::nullopt;
  while (!literal.Take('}')) {
    if (!TakeField(&literal, &header)) return std::nullopt;
    if (literal.Take(',')) continue;
    if (!literal.Take('}')) return std::nullopt;
    break;
  }
  if (!literal.AtEnd() || !header.fortran.has_value() || !header.shape.has_value()) return std::nullopt;
  return header;
}

// "<f4": order, kind and size.
bool ParseType(absl::string_view type, NpyArray* array) {
  if (type.size() < 3 || !absl::SimpleAtoi(type.substr(2), &array->item_bytes) || array->item_bytes < 1)
    return false;
  array->kind = type[1];
  const int64_t size = array->item_bytes;
  const bool number = size == 1 || size == 2 || size == 4 || size == 8;
  const bool order = type[0] == '<' || (type[0] == '|' && (size == 1 || array->kind == 'S'));
  switch (array->kind) {
    case 'b':
      return order && size == 1;
    case 'i':
    case 'u':
      return order && number;
    case 'f':
      return order && number && size > 1;
    case 'S':
      return order && size <= (int64_t{1} << 30);
    default:
      return false;
  }
}

std::string StemOf(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return std::string(absl::StripSuffix(name, ".npy"));
}

}  // namespace

int64_t NpyArray::row_elements() const {
  int64_t count = 1;
  for (size_t i = 1; i < shape.size(); ++i) count *= shape[i];
  return count;
}

absl::string_view NpyArray::Row(int64_t row) const {
  const auto size_bytes = static_cast<size_t>(row_elements() * item_bytes);
  return elements.substr(static_cast<size_t>(row) * size_bytes, size_bytes);
}

absl::StatusOr<NpyArray> ParseNpy(const std::string& name, absl::string_view bytes) {
  const auto wrong = [&](absl::string_view what) { return DataError(absl::StrCat(name, ": ", what)); };
  if (bytes.size() < 10 || bytes.substr(0, kMagic.size()) != kMagic) return wrong("this is no .npy file");
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3)
    return wrong(absl::StrCat("version ", version, " of the .npy format is not known"));
  const size_t length_bytes = version == 1 ? 2 : 4, begin = 8 + length_bytes;
  if (bytes.size() < begin) return wrong("the file ends within its header");
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  if (length > kMostHeaderBytes || length > bytes.size() - begin)
    return wrong("the file ends within its header");
  const auto header = ParseHeader(bytes.substr(begin, length));
  if (!header.has_value()) return wrong("the header is not understood");
  NpyArray array;
  if (!header->type.has_value() || !ParseType(*header->type, &array)) {
    return wrong(
        absl::StrCat("elements of type '", header->type.value_or("?"),
                     "' are not understood: integers, floats and booleans, little-endian, and 'S' are"));
  }
  if (header->shape->empty()) return wrong("the array has no dimension, so no rows");
  if (*header->fortran && header->shape->size() > 1)
    return wrong("the array is in Fortran order: save numpy.ascontiguousarray of it");
  array.shape = *header->shape;
  // Every product is bounded by what there is before it is made.
  const size_t there = bytes.size() - begin - length;
  uint64_t size_bytes = static_cast<uint64_t>(array.item_bytes);
  const bool none = std::find(array.shape.begin(), array.shape.end(), 0) != array.shape.end();
  for (const int64_t dimension : array.shape) {
    if (!none && static_cast<uint64_t>(dimension) > there / size_bytes)
      return wrong(absl::StrCat("the header claims more elements than the ", there, " bytes behind it hold"));
    size_bytes *= none ? 0 : static_cast<uint64_t>(dimension);
  }
  if (size_bytes != there) {
    return wrong(
        absl::StrCat("the header claims ", size_bytes, " bytes of elements, and ", there, " follow it"));
  }
  array.elements = bytes.substr(begin + length);
  return array;
}

absl::Status NpyArrays::Add(const std::string& name, const std::string& shown, absl::string_view bytes) {
  ASSIGN_OR_RETURN(NpyArray array, ParseNpy(shown, bytes));
  for (const Named& other : arrays_) {
    if (other.name == name) return DataError(absl::StrCat(shown, ": there are two arrays '", name, "'"));
  }
  arrays_.push_back({name, std::move(array)});
  return absl::OkStatus();
}

absl::Status NpyArrays::AddArchive(const std::string& path, absl::string_view bytes, uint64_t* limit_bytes) {
  ASSIGN_OR_RETURN(const std::vector<ZipMember> members, ListZip(path, bytes));
  for (const ZipMember& member : members) {
    if (!absl::EndsWith(member.name, ".npy")) continue;
    ASSIGN_OR_RETURN(UnzippedMember unzipped, Unzip(path, bytes, member, *limit_bytes));
    if (unzipped.held != nullptr) *limit_bytes -= std::min<uint64_t>(*limit_bytes, unzipped.bytes.size());
    RETURN_IF_ERROR(Add(StemOf(member.name), absl::StrCat(path, ", ", member.name), unzipped.bytes));
    held_.push_back(std::move(unzipped.held));
  }
  return absl::OkStatus();
}

absl::Status NpyArrays::AddFile(FileSystem* fs, const std::string& path, uint64_t* limit_bytes) {
  auto opened = fs->Open(path);
  if (!opened.ok()) return DataError(opened.status().message());
  std::shared_ptr<ReadableFile> file = *std::move(opened);
  absl::string_view bytes = file->Mapped();
  held_.push_back(file);
  if (bytes.empty() && file->size_bytes() > 0) {
    if (file->size_bytes() > *limit_bytes)
      return DataError(absl::StrCat(path, " cannot be mapped, and is too large to be read as a whole"));
    auto contents = std::make_shared<std::string>(file->size_bytes(), '\0');
    RETURN_IF_ERROR(file->ReadAt(0, contents->data(), contents->size()));
    *limit_bytes -= contents->size();
    bytes = *contents;
    held_.push_back(std::move(contents));
  }
  if (absl::StartsWith(bytes, "PK")) return AddArchive(path, bytes, limit_bytes);
  return Add(StemOf(path), path, bytes);
}

absl::StatusOr<NpyArrays> NpyArrays::Open(FileSystem* fs, const std::string& path, uint64_t limit_bytes) {
  NpyArrays arrays;
  const auto folder = fs->List(path);
  if (folder.ok()) {
    for (const FileInfo& file : *folder) {
      if (!file.is_folder && absl::EndsWith(file.name, ".npy"))
        RETURN_IF_ERROR(arrays.AddFile(fs, JoinPath(path, file.name), &limit_bytes));
    }
  } else {
    RETURN_IF_ERROR(arrays.AddFile(fs, path, &limit_bytes));
  }
  if (arrays.arrays_.empty()) return DataError(absl::StrCat(path, " holds no array (.npy)"));
  std::sort(arrays.arrays_.begin(), arrays.arrays_.end(),
            [](const Named& a, const Named& b) { return a.name < b.name; });
  return arrays;
}

}  // namespace lockstep::data
